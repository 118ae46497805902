"""What importing Feast leaves behind: nothing that another process would take for its own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from fairlead.adapters.feast_import import import_feast
import_feast(checked={checked})
import feast.metrics
from prometheus_client import Counter
Counter("one", "One").inc()
print(sorted(name for name in os.environ if name.startswith("PROMETHEUS")))
"""


@pytest.mark.parametrize("checked", [False, True])
def test_the_environment_and_the_folder_for_temporary_files_are_as_before(checked, tmp_path):
    done = _run(PROGRAM.format(checked=checked), {"TMPDIR": str(tmp_path)})
    assert done.stdout == "[]\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_somebody_has_chosen_stays(tmp_path):
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    done = _run(PROGRAM.format(checked=False), {"PROMETHEUS_MULTIPROC_DIR": str(chosen)})
    assert done.stdout == "['PROMETHEUS_MULTIPROC_DIR']\n", done.stderr
    assert list(chosen.iterdir()) != []


def _run(program: str, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}
    return subprocess.run(
        [sys.executable, "-c", program], env={**plain, **environ}, capture_output=True, text=True, timeout=120
    )
