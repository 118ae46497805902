"""Which code ran."""

from pathlib import Path

import pytest

from fairlead.lineage.code import git_commit


def test_outside_git_the_commit_is_the_one_that_the_image_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_COMMIT", "0" * 40)
    assert git_commit(tmp_path) == "0" * 40
    monkeypatch.delenv("FAIRLEAD_COMMIT")
    assert git_commit(tmp_path) == "none"
