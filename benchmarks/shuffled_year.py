"""False alarms of the watch on a year without change: the same rows, their order in time destroyed.

The reference is what a first model would be fitted to, eight weeks. Then week by week: the share of rows beyond it
(`fairlead.drift.novelty`, what the replay listens to), and the tests of every column (`fairlead.drift.detect`), of a
week alone and as an alarm of two of the last three. Told: the median over several shuffles, and the worst of them.
Goal: no drift alarm in 95% of the weeks.
"""

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from fairlead.drift.detect import Rule, alarm, detect
from fairlead.drift.novelty import novelty, ranges
from fairlead.drift.sample import Sample
from fairlead.features.training_set import ASKED_AT
from fairlead.replay.year import Year, open_year
from fairlead.settings import find_repo, laptop
from fairlead.spec.load import load_specs

REFERENCE_DAYS, WEEK = 56, 7
GOAL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="where the rows of the year are kept; unless told, nowhere")
    parser.add_argument("--shuffles", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        year, threshold = _year(options.home or Path(aside))
        seeds: dict[str, list[int | None]] = {"shuffled": list(range(options.shuffles)), "as it was": [None]}
        result = {name: [_quiet(year, threshold, seed) for seed in of_it] for name, of_it in seeds.items()}
    for name, rounds in result.items():
        for what in rounds[0]:
            shares = [shares[what] for shares in rounds]
            told = f"{np.median(shares):.1%} of the weeks (worst of {len(shares)}: {min(shares):.1%})"
            print(f"{name:<10} {what:<38} quiet in {told}")
    print(f"{'goal':<10} {'shuffled':<38} quiet in {GOAL:.1%} of the weeks")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


def _year(home: Path) -> tuple[Year, float]:
    repo = find_repo()
    model, dataset = load_specs(repo, "flight-delay")
    year = open_year(laptop(home, repo), home, model, dataset, date(2013, 1, 1), date(2013, 12, 31))
    return year, model.retraining.novelty


def _quiet(year: Year, threshold: float, seed: int | None) -> dict[str, float]:
    rows = year.rows
    at = rows[ASKED_AT].dt.tz_localize(None).to_numpy()
    order = np.arange(len(rows)) if seed is None else np.random.default_rng(seed).permutation(len(rows))
    values = {name: rows[name].to_numpy(np.float64, na_value=np.nan)[order] for name in year.features}
    days = ((at - at.min()) / np.timedelta64(1, "D")).astype(int)
    matrix = np.column_stack(list(values.values()))
    sample = Sample(at, rows["row_id"].to_numpy(object)[order], values)
    known = days < REFERENCE_DAYS
    ends, reference = ranges(matrix[known]), sample.take(np.flatnonzero(known))
    kinds = dict.fromkeys(values, "feature")
    beyond, verdicts = [], []
    for start in range(REFERENCE_DAYS, 364 - WEEK + 1, WEEK):
        week = np.flatnonzero((days >= start) & (days < start + WEEK))
        beyond.append(novelty(ends, matrix[week]) >= threshold)
        verdicts.append(detect(reference, sample.take(week), kinds, Rule(), year.timezone).verdict)
    alarms = [alarm(verdicts[: number + 1], 2, 3) for number in range(len(verdicts))]
    return {
        f"novelty of {threshold:.0%} of the rows": 1 - float(np.mean(beyond)),
        "tests of columns, a week alone": 1 - float(np.mean([verdict == "drift" for verdict in verdicts])),
        "tests of columns, two of three weeks": 1 - float(np.mean(alarms)),
    }


if __name__ == "__main__":
    main()
