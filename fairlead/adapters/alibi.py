"""alibi-detect's TabularDrift as an engine for drift, in a process of its own environment, by way of files.

It wants NumPy 1 and pydantic 1, which nothing else here has. What is asked and answered: `monitoring/alibi/worker.py`.
Of alibi-detect are the p-values and distances; missing values are compared by our own test, since in its own a NaN
hides what the others say or raises.
"""

import json
import math
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.drift._base import Column, Evidence, present
from fairlead.drift.engine import Columns, Compared
from fairlead.drift.missing import missing
from fairlead.errors import EngineError, EngineMissingError, HomeError

PYTHON, FOLDER, WORKER = "FAIRLEAD_ALIBI_PYTHON", "FAIRLEAD_ALIBI_FOLDER", "monitoring/alibi/worker.py"
EXPECTED = "alibi-detect 0.11.4"
LEAST = 8
"""Fewer values on either side say nothing."""
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.1


class AlibiEngine:
    """`Engine` by alibi-detect: KS for numbers, χ² for categories."""

    name = "alibi"

    def __init__(
        self, *, python: Path | None, worker: Path, folder: Path | None, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Say where it runs.

        Args:
            python: of the environment with alibi-detect, started for each comparison; None: a worker waits already.
            worker: the file that it runs.
            folder: which both sides can write; with `python` a temporary one will do.
            patience_seconds: how long an answer may take.
        """
        self._python = python
        self._worker = worker
        self._folder = folder
        self._patience = patience_seconds

    @classmethod
    def from_environment(cls) -> "AlibiEngine":
        """As `FAIRLEAD_ALIBI_PYTHON` or `FAIRLEAD_ALIBI_FOLDER` say.

        Raises:
            HomeError: neither is set.
        """
        from fairlead.settings import find_repo

        python, folder = os.environ.get(PYTHON), os.environ.get(FOLDER)
        if not python and not folder:
            raise HomeError(
                f"the engine alibi needs {PYTHON}, the Python of an environment with alibi-detect, or {FOLDER}, where "
                "its worker waits"
            )
        return cls(
            python=Path(python) if python else None,
            worker=find_repo() / WORKER,
            folder=Path(folder) if folder else None,
        )

    def library(self) -> str:
        """Asks it: an answer about no column is one that it is there."""
        found = str(self._ask([])["library"])
        if found != EXPECTED:
            raise EngineMissingError(f"the engine must be {EXPECTED}, but is {found}")
        return found

    def compare(self, columns: Columns, tests: Mapping[str, Sequence[str]]) -> list[Compared]:
        pairs = {
            column: _pair(columns.reference[column], columns.window[column])
            for column, names in tests.items()
            if set(names) - {"missing"}
        }
        asked = [column for column, pair in pairs.items() if pair is not None]
        answers = self._ask([pair for pair in pairs.values() if pair is not None])["columns"] if asked else []
        found = dict(zip(asked, answers, strict=True))
        compared = []
        for column, names in tests.items():
            for name in names:
                if name == "missing":
                    evidence = missing(columns.reference[column], columns.window[column])
                else:
                    evidence = _evidence(name, found.get(column), pairs[column])
                compared.append(Compared(column, name, evidence))
        return compared

    def _ask(self, pairs: Sequence[tuple[Any, Any]]) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory(dir=self._folder) as own:
            # A worker that waits looks into the shared folder itself.
            folder = Path(own) if self._python else Path(str(self._folder))
            name = secrets.token_hex(8)
            aside, question = folder / f".{name}.npz", folder / f"{name}.npz"
            arrays = {f"{side}.{index}": pair[number] for index, pair in enumerate(pairs) for number, side in _SIDES}
            np.savez(aside, **arrays)
            aside.replace(question)
            if self._python:
                self._run(folder)
            return _read(self._wait(question.with_suffix(".json"), question))

    def _run(self, folder: Path) -> None:
        command = [str(self._python), "-I", str(self._worker), str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=self._patience)
        except OSError as error:
            raise EngineMissingError(f"{self._python} cannot be run: {error.strerror or error}") from None
        except subprocess.TimeoutExpired:
            raise EngineError(f"alibi-detect did not answer within {self._patience:g} s") from None
        if done.returncode != 0:
            raise EngineError(f"alibi-detect's worker ended with {done.returncode}: {done.stderr.strip()[-500:]}")

    def _wait(self, answer: Path, question: Path) -> bytes:
        end = time.monotonic() + (0 if self._python else self._patience)
        while not answer.exists():
            if time.monotonic() >= end:
                question.unlink(missing_ok=True)
                raise EngineMissingError(f"no worker of alibi-detect answered in {answer.parent}")
            time.sleep(LOOK_SECONDS)
        content = answer.read_bytes()
        answer.unlink()
        return content


_SIDES = ((0, "reference"), (1, "window"))


def _read(content: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(content)
    if found.get("error") == "missing":
        raise EngineMissingError(str(found["message"]))
    if "error" in found:
        raise EngineError(f"alibi-detect failed: {found['message']}")
    return found


def _pair(reference: Column, window: Column) -> tuple[Any, Any] | None:
    """Values that are there, categories as codes that both sides share; None: too few, or all of them the same."""
    old, new = present(reference), present(window)
    if min(len(old), len(new)) < LEAST:
        return None
    if old.dtype.kind == "f":
        return old, new
    names = {name: code for code, name in enumerate(sorted({*old.tolist(), *new.tolist()}, key=str))}
    if len(names) < 2:
        return None
    first, second = (np.array([names[value] for value in side.tolist()], dtype=np.int64) for side in (old, new))
    return first, second


def _evidence(test: str, found: Mapping[str, float] | None, pair: tuple[Any, Any] | None) -> Evidence | None:
    if found is None or pair is None:
        return None
    distance = found["distance"]
    if math.isnan(found["p_value"]):
        raise EngineError("alibi-detect gave no p-value")
    effect = distance if test == "ks" else math.sqrt(max(distance, 0.0) / (len(pair[0]) + len(pair[1])))
    return Evidence(found["p_value"], distance, effect)
