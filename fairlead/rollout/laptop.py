"""Releases without a cluster: a bare repository in the home, with one environment."""

import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

from fairlead.errors import RolloutError
from fairlead.rollout.file import release_path, render_release
from fairlead.rollout.release import Release
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_text

ENVIRONMENT = "laptop"
FOLDER = "releases.git"
BRANCH = "main"
SETTINGS = """\
# yaml-language-server: $schema=../../../docs/reference/schemas/environment.json
# Of this machine. Nothing reads the addresses: bundles and the registry are in the home, the gateway is a process.
name: laptop
namespace: laptop
storage: {bucket: s3://home}
tracking: http://127.0.0.1
gateway: {name: gateway, namespace: laptop, hostname: localhost}
"""
WHO = ("-c", "user.name=fairlead", "-c", "user.email=fairlead@localhost")


def make_repository(folder: Path, model: str, spec: str, stable: str, now: datetime) -> None:
    """Make the repository, with a first release; one that is there is left as it is.

    Args:
        folder: where it will be.
        model: its name.
        spec: of the model, as YAML.
        stable: the version that answers.
        now: when the release begins.

    Raises:
        RolloutError: Git cannot make it.
    """
    if folder.exists():
        return
    settings = load_text(SETTINGS, Path("environment.yaml"), EnvironmentSpec)
    release = Release(model=model, stable=stable, since=now, why="the first release")
    files = {
        f"manifests/envs/{ENVIRONMENT}/environment.yaml": SETTINGS,
        f"pipelines/models/{model}.yaml": spec,
        release_path(ENVIRONMENT, model).as_posix(): render_release(release, settings),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".releases-", dir=folder.parent) as aside:
        work, bare = Path(aside, "work"), Path(aside, "bare")
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text, encoding="utf-8")
        _git("init", "-q", "-b", BRANCH, str(work))
        _git("-C", str(work), "add", "-A")
        _git(*WHO, "-C", str(work), "commit", "-q", "-m", f"{model} in {ENVIRONMENT}: the first release is {stable}")
        _git("clone", "-q", "--bare", str(work), str(bare))
        bare.rename(folder)


def _git(*words: str) -> None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RolloutError("releases are kept in Git, but there is no `git` on the PATH") from None
    if done.returncode != 0:
        raise RolloutError(f"git {words[0]} failed: {done.stderr.strip()}")
