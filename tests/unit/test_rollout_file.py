"""The release file: what a person wrote stays, and nonsense is refused with its line."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import RolloutError
from fairlead.rollout.file import mend_release, parse_release, read_release, release_path, render_release, write_release
from fairlead.rollout.release import Release
from fairlead.rollout.stages import Abort, Start, step
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document
from fairlead.spec.model import RolloutSpec

ENVIRONMENT = load_document(Path(__file__).parents[2] / "manifests/envs/dev/environment.yaml", EnvironmentSpec)
PATH = Path("release.yaml")
BY_HAND = """\
# Ask Ana before you touch this.
apiVersion: fairlead.dev/v1
kind: Release
metadata: {name: flight-delay, annotations: {config.kubernetes.io/local-config: "true"}}
spec:
  model: flight-delay   # the endpoint
  stable: "3"           # since spring
  since: 2026-11-21T19:00:00+02:00    # local time

  # How far it is:
  weight: 0
  stage: idle
  refused:              # with reasons
    - "1"               # wrong labels
    - '2'
# the end
"""
RENDERED = mend_release(BY_HAND, PATH, ENVIRONMENT)


def test_a_change_keeps_comments_order_and_quotes():
    before = parse_release(RENDERED, PATH, ENVIRONMENT)
    begun = step(
        before, Start(at=before.since + timedelta(minutes=1), revision=1, version="4", run="runs/4"), RolloutSpec()
    )
    text = render_release(begun, ENVIRONMENT, RENDERED)
    assert parse_release(text, PATH, ENVIRONMENT) == begun
    kept = [line for line in BY_HAND.splitlines() if "stage" not in line and "since:" not in line]
    assert [line for line in text.splitlines() if line in kept] == kept
    assert 'stable: "3"           # since spring' in text
    aborted = step(begun, Abort(at=begun.since, revision=2, by="ana", reason="no"), RolloutSpec())
    text = render_release(aborted, ENVIRONMENT, text)
    assert parse_release(text, PATH, ENVIRONMENT) == aborted
    assert '  - "1"               # wrong labels' in text
    assert "# local time" in text
    assert "# the end" in text


def test_without_a_change_only_what_a_reader_looks_for_is_added():
    release = parse_release(RENDERED, PATH, ENVIRONMENT)
    once = render_release(release, ENVIRONMENT, BY_HAND)
    assert set(BY_HAND.splitlines()) <= set(once.splitlines())
    assert render_release(release, ENVIRONMENT, once) == once


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('stable: "3" ', 'stable: "5" '),
        ("weight: 100", "weight: 90"),
        ("stop: 'true'", "stop: 'false'"),
        ("/v2/health", "/v2/repository"),
    ],
)
def test_a_serve_that_does_not_follow_is_refused_and_can_be_mended(old, new):
    edited = RENDERED.replace(old, new, 1)
    assert edited != RENDERED
    with pytest.raises(
        RolloutError, match=r"release\.yaml:\d+: serve: must follow from spec, but does not: run `fairlead"
    ):
        parse_release(edited, PATH, ENVIRONMENT)
    mended = mend_release(edited, PATH, ENVIRONMENT)
    parse_release(mended, PATH, ENVIRONMENT)
    assert "stable" in old or mended == RENDERED
    assert set(BY_HAND.splitlines()) - set(mended.splitlines()) <= {'  stable: "3"           # since spring'}


def test_a_file_of_its_own_names_the_schema(tmp_path):
    path = tmp_path / release_path("dev", "flight-delay")
    release = parse_release(RENDERED, PATH, ENVIRONMENT)
    write_release(path, release, ENVIRONMENT)
    assert read_release(path, ENVIRONMENT) == release
    first, _, _ = path.read_text().partition("\n")
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / schema).resolve() == (tmp_path / "docs/reference/schemas/release.json").resolve()
    assert [found.name for found in path.parent.iterdir()] == ["release.yaml"]


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "dev").write_text("")
    with pytest.raises(RolloutError, match="cannot be written"):
        write_release(tmp_path / "dev" / "release.yaml", parse_release(RENDERED, PATH, ENVIRONMENT), ENVIRONMENT)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weight: 0", "weight: 5", "release.yaml:11: spec.weight: must be 0 without a candidate, but is 5"),
        (
            "weight: 0",
            "weight: 101",
            "release.yaml:11: spec.weight: input should be less than or equal to 100, but is 101",
        ),
        ("weight: 0", "wieght: 0", "release.yaml:11: spec.wieght: unknown key; did you mean 'weight'?"),
        ("stage: idle", "stage: ideal", "release.yaml:12: spec.stage: must be one of idle, shadow, canary"),
        ("stage: idle", "stage: canary", "release.yaml:12: spec.stage: canary needs a candidate, but there is none"),
        ('stable: "3"', "stable: 3", "release.yaml:7: spec.stable: input should be a valid string, but is 3"),
        ('stable: "3"', 'stable: "2"', "release.yaml:7: spec.stable: must not be '2', which was rolled back"),
        ("+02:00", "", "release.yaml:8: spec.since: input should have timezone info"),
        ("weight: 0", "weight: 0\n  weight: 50", "release.yaml:12: is not YAML"),
        ("weight: 0", "candidate: [", "is not YAML"),
        (
            "name: flight-delay",
            "name: churn",
            "release.yaml:4: metadata.name: must be the model 'flight-delay' that spec",
        ),
        (
            ', annotations: {config.kubernetes.io/local-config: "true"}',
            "",
            "metadata.annotations: is required, but missing",
        ),
        ("fairlead.dev/v1", "v2", "release.yaml:2: apiVersion: must be one of fairlead.dev/v1, but is 'v2'"),
        (BY_HAND, BY_HAND, "serve must follow from spec, but is missing: run `fairlead render`"),
        (BY_HAND, "", "release.yaml:1: must be a mapping of keys to values, but is empty"),
        (BY_HAND, "<<<<<<< HEAD\nmodel: x\n", "release.yaml"),
    ],
)
def test_nonsense_is_refused_with_its_line_and_rule(old, new, message):
    with pytest.raises(RolloutError) as refused:
        parse_release(BY_HAND.replace(old, new), PATH, ENVIRONMENT)
    assert message in str(refused.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(RolloutError, match="there is no such file"):
        read_release(tmp_path / "release.yaml", ENVIRONMENT)


@settings(deadline=None)
@given(
    why=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    hold=st.none() | st.sampled_from(["null", "no", "3", "", "a: b", "# c", "two\nlines"]),
    refused=st.lists(st.sampled_from(["1", "1e3", "0x1", "null", "on", "2026-11-21"]), unique=True),
)
def test_any_text_comes_back_as_it_was(why, hold, refused):
    base = parse_release(RENDERED, PATH, ENVIRONMENT)
    release = Release.model_validate({**dict(base), "why": why, "hold": hold, "refused": refused})
    for text in ("", RENDERED):
        assert parse_release(render_release(release, ENVIRONMENT, text), PATH, ENVIRONMENT) == release
