"""Compares columns by alibi-detect's TabularDrift. Runs with its libraries alone: Python 3.11, NumPy 1, no Fairlead.

    python worker.py FOLDER          answer what is asked in a folder now, then end
    python worker.py FOLDER --wait   answer for ever: beside a job, in a container of its own

A question is `<name>.npz`: for each column `i` the arrays `reference.i` and `window.i`, without missing values, numbers
as float64 and categories as int64 codes. The answer is `<name>.json`. Files appear whole: both sides write aside and
rename.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
EXPECTED = "0.11.4"
"""The last release under Apache-2.0."""
LOOK_SECONDS = 0.2


def main() -> int:
    """0: all that was asked is answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    compare, library = load()
    while True:
        for question in sorted(options.folder.glob("*.npz")):
            if not question.name.startswith("."):
                answer(question, compare, library)
        if not options.wait:
            return 0
        time.sleep(LOOK_SECONDS)


def load() -> tuple[Callable[..., Any] | None, str]:
    """The detector and its version; None and why, where it cannot be had: the answer must say so."""
    try:
        import alibi_detect
        from alibi_detect.cd import TabularDrift
    except ImportError as error:
        return None, f"alibi-detect cannot be imported: {error}"
    if alibi_detect.__version__ != EXPECTED:
        return None, f"alibi-detect must be {EXPECTED}, but is {alibi_detect.__version__}"
    return TabularDrift, f"alibi-detect {EXPECTED}"


def answer(question: Path, detector: Callable[..., Any] | None, library: str) -> None:
    """Write what came of it, also if it is an error; the question goes."""
    found: dict[str, Any]
    if detector is None:
        found = {"error": "missing", "message": library}
    else:
        try:
            found = {"library": library, "columns": compare(question, detector)}
        except Exception as error:  # noqa: BLE001  # whatever it is, the one who asked must hear of it
            found = {"error": "failed", "message": f"{type(error).__name__}: {error}"}
    aside = question.with_name(f".{question.stem}.json")
    aside.write_text(json.dumps(found), encoding="utf-8")
    question.unlink()
    aside.replace(question.with_suffix(".json"))


def compare(question: Path, detector: Callable[..., Any]) -> list[dict[str, float]]:
    """p-value and distance of each column: Kolmogorov-Smirnov's D, or χ² for categories.

    A column at a time: each has its own rows without missing values. p-values are not corrected here.
    """
    import numpy as np

    with np.load(question, allow_pickle=False) as arrays:
        count = sum(name.startswith("reference.") for name in arrays.files)
        pairs = [(arrays[f"reference.{index}"], arrays[f"window.{index}"]) for index in range(count)]
    results = []
    for reference, window in pairs:
        categories = {0: None} if reference.dtype.kind == "i" else None
        fitted = detector(reference.reshape(-1, 1).astype(np.float64), p_val=0.05, categories_per_feature=categories)
        found = fitted.predict(window.reshape(-1, 1).astype(np.float64), drift_type="feature")["data"]
        results.append({"p_value": float(found["p_val"][0]), "distance": float(found["distance"][0])})
    return results


if __name__ == "__main__":
    sys.exit(main())
