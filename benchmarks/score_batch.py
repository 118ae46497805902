"""How fast a million flights are scored, how much memory that takes, and how far it is from the graph alone.

    python benchmarks/score_batch.py --rows 1000000 --json score.json

Flights of January to March 2013, repeated, each asked about at a random moment of the two hours before its departure,
in no order: every chunk reads three months of features. The scoring runs in a process of its own, whose peak memory is
told. The limit is ONNX Runtime alone, one thread as in the scoring, on the finished matrix of the same rows. Processor
seconds are told beside those of the clock: on a machine that has other work only they say much.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.mlflow import RegisteredVersion
from fairlead.features.build import build_features
from fairlead.features.definitions import load_module
from fairlead.features.training_set import build_training_set
from fairlead.lineage.record import Plan
from fairlead.packaging.bundle import release_bundle
from fairlead.packaging.package import Origin, package
from fairlead.packaging.session import ScoringSession
from fairlead.scoring.columns import ASKED_AT, as_frame
from fairlead.scoring.plan import BatchPlan
from fairlead.scoring.request import Request, plan_batch, surroundings
from fairlead.scoring.score import CHUNK_ROWS, score_batch
from fairlead.settings import find_repo, laptop
from fairlead.spec import load_dataset, load_model
from fairlead.tables.clean import write_clean
from fairlead.tables.ingest import fingerprints, ingest
from fairlead.tables.prepare import prepare
from fairlead.training.candidates import CANDIDATES
from fairlead.training.fit import TrainingRecord, as_columns, signature_of
from fairlead.training.splits import midnight

PARAMS = {"n_estimators": 150, "num_leaves": 15, "learning_rate": 0.05, "min_child_samples": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=CHUNK_ROWS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="ibis")
    if options.child:
        print(json.dumps(score(options.child, options.chunk)))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        began = time.perf_counter()
        trained = train(home)
        source = write_rows(home, options.rows)
        plan = plan_batch(Request(source=str(source)), *trained, laptop(home, find_repo()))
        print(f"home, model and {options.rows:,} rows made in {time.perf_counter() - began:.0f} s")
        (home / "plan.json").write_text(plan.model_dump_json(), encoding="utf-8")
        command = [sys.executable, __file__, "--child", str(home), "--chunk", str(options.chunk)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = {**json.loads(done.stdout.splitlines()[-1]), **limit(home, plan)}
    figures["share_of_limit"] = figures["rows_per_second"] / figures["limit_rows_per_second"]
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def train(home: Path) -> tuple[RegisteredVersion, Plan]:
    """Tables, features and a released bundle of flight-delay, without a search and without a registry."""
    repo = find_repo()
    model = load_model(repo / "pipelines" / "models" / "flight-delay.yaml")
    dataset = load_dataset(repo / "feature_repo" / model.dataset / "dataset.yaml")
    as_of, settings = midnight(date(2013, 4, 1), dataset.timezone), laptop(home, repo)
    Path(settings.feast_uri).mkdir()
    store, feast = DeltaTables(settings.tables_uri), FeastFeatures(settings, dataset.name)
    sources = fingerprints(dataset)
    tables = ingest(dataset, store, expected=sources, code_version="benchmark")
    raw = {table.name: table.version for table in tables}
    rows = prepare(dataset, raw, store, load_module(repo, dataset.name, "tables"), as_of)
    clean = write_clean(dataset, rows, raw, store, as_of=as_of.isoformat(), code_version="benchmark")
    features = build_features(dataset.name, clean, store, load_module(repo, dataset.name, "features"), "benchmark")
    feast.apply()
    training_set = build_training_set(model, dataset, clean, features, store, feast, as_of)
    signature, past = signature_of(model, dataset, training_set), training_set.part("train")
    matrix = signature.matrix(as_columns(past, signature))
    fitted = CANDIDATES["lightgbm"].fit(matrix, past["label"].to_numpy(np.int64), signature, PARAMS, seed=13)
    record = TrainingRecord(
        candidate="lightgbm", params=PARAMS, signature=signature, threshold=0.3, trials=[], best_trial=0, rows={}
    )
    origin = Origin(as_of=as_of.isoformat(), tables=features, code_version="benchmark", lock="benchmark")
    package(model, fitted, record, training_set, origin, home / "packaged")
    release_bundle(home / "packaged", Path(settings.bundles_uri, model.name, "1"), "1")
    plan = Plan(
        dataset=dataset, model=model, sources=sources, as_of=as_of.isoformat(), code_version="benchmark", champion=""
    )
    return RegisteredVersion(model.name, "1", "accepted", [], [], "none", 0), plan


def write_rows(home: Path, count: int) -> Path:
    """Repeat flights of the clean table, each asked about at a moment of its own."""
    store = DeltaTables(laptop(home, find_repo()).tables_uri)
    wanted = ["year", "month", "day", "carrier", "flight", "origin", "dest", "tailnum", "distance", "hour", "weekday"]
    flights = pq.read_table(store.files("flights/clean/flights", 0), columns=[*wanted, "scheduled_departure"])
    rng, path = np.random.default_rng(0), home / "rows.parquet"
    frame = flights.to_pandas()
    schema = pa.schema([*(flights.schema.field(name) for name in wanted), (ASKED_AT, pa.timestamp("us", "UTC"))])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, 100_000):
            some = frame.iloc[rng.integers(0, len(frame), min(100_000, count - start))]
            ago = pd.to_timedelta(rng.integers(0, 7_200_000_000, len(some)), "us")
            some = some.assign(asked_at=(some["scheduled_departure"] - ago).astype("datetime64[us, UTC]"))
            file.write_table(pa.Table.from_pandas(some[schema.names], schema, preserve_index=False))
    return path


def score(home: Path, chunk: int) -> dict[str, Any]:
    """In a process of its own, after all imports: rows a second and peak memory."""
    plan = BatchPlan.model_validate_json((home / "plan.json").read_bytes())
    around = surroundings(plan, laptop(home, find_repo()))
    before, cpu = peak_megabytes(), time.process_time()
    began = time.perf_counter()
    result = score_batch(plan, around, lambda *told: None, chunk)
    seconds = time.perf_counter() - began
    return {
        "rows": result.rows,
        "chunk": chunk,
        "seconds": seconds,
        "rows_per_second": result.rows / seconds,
        "cpu_microseconds_a_row": (time.process_time() - cpu) / result.rows * 1e6,
        "peak_megabytes": peak_megabytes(),
        "of_them_before_the_first_row": before,
    }


def limit(home: Path, plan: BatchPlan) -> dict[str, float]:
    """The graph alone, on the matrix of the first chunk: the best of five."""
    settings = laptop(home, find_repo())
    session = ScoringSession.open(Path(settings.bundles_uri, plan.model.name, "1"))
    signature = session.bundle.signature
    rows = next(pq.ParquetFile(plan.source).iter_batches(CHUNK_ROWS))
    frame = as_frame(pa.Table.from_batches([rows]), rows[ASKED_AT], signature)
    joined = FeastFeatures(settings, plan.dataset.name).historical(plan.model.features, frame, plan.features)
    matrix = signature.matrix(as_columns(joined, signature))
    seconds, cpu = [], []
    for _ in range(5):
        began, busy = time.perf_counter(), time.process_time()
        session.scores(matrix)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    return {
        "limit_rows_per_second": len(matrix) / min(seconds),
        "limit_cpu_microseconds_a_row": min(cpu) / len(matrix) * 1e6,
    }


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(figures: dict[str, Any]) -> None:
    print(f"onnxruntime {version('onnxruntime')}, duckdb {version('duckdb')}, {os.cpu_count()} CPUs, lightgbm {PARAMS}")
    print(f"rows              {figures['rows']:>12,} in {figures['seconds']:.1f} s, {figures['chunk']:,} at a time")
    print(f"rows a second     {figures['rows_per_second']:>12,.0f}")
    print(f"ONNX Runtime alone{figures['limit_rows_per_second']:>12,.0f}, ratio {figures['share_of_limit']:.2f}")
    cpu, least = figures["cpu_microseconds_a_row"], figures["limit_cpu_microseconds_a_row"]
    print(f"processor time    {cpu:>12.1f} µs a row, ONNX Runtime alone {least:.1f} µs, ratio {least / cpu:.2f}")
    before = figures["of_them_before_the_first_row"]
    print(f"peak memory       {figures['peak_megabytes']:>12,.0f} MB, {before:,.0f} MB of them before the first row")


if __name__ == "__main__":
    main()
