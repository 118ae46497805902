"""Bundles: written, checked, released; and that what is packaged answers like what was fitted."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from fairlead.drift.reference import read_reference, write_reference
from fairlead.errors import BundleError, HomeError
from fairlead.features.lookup import LookupPlan, LookupView
from fairlead.features.training_set import TrainingSet
from fairlead.lineage.digest import hash_file, hash_json
from fairlead.packaging.bundle import BUNDLE_FILE, MODEL_FILE, REFERENCE_FILE, load_bundle, release_bundle
from fairlead.packaging.export import export
from fairlead.packaging.package import SMOKE_SCRIPT, package
from fairlead.packaging.parity import Parity, measure_parity
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Input, Signature
from fairlead.training.fit import TrainingRecord, as_columns
from tests.unit import training_example as example

PAIR = Signature(
    inputs=[
        Input(name="carrier", source="request", kind="category", categories=["AA"]),
        Input(name="miles", source="request", kind="number"),
    ],
    entities=[],
)
ROWS = np.array([[0, 10], [0, 40], [0, 90]], dtype=np.float32)


@dataclass
class Packaged:
    """A bundle as `package` wrote it, and what it was written from."""

    folder: Path
    data: TrainingSet
    record: TrainingRecord
    parity: Parity


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    folder, data = tmp_path_factory.mktemp("packaged") / "bundle", example.training_set()
    return Packaged(folder, data, *example.packaged(folder, data))


@pytest.fixture
def copy(packaged: Packaged, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(packaged.folder, tmp_path / "copy"))


def test_the_rows_that_records_are_compared_with_are_those_of_all_periods_with_their_scores(packaged: Packaged):
    reference = read_reference(packaged.folder, load_bundle(packaged.folder))
    assert len(reference) == len(packaged.data.rows)
    assert set(reference.columns) == {*packaged.record.signature.names, "score"}
    session = ScoringSession.open(packaged.folder)
    matrix = packaged.record.signature.matrix(as_columns(packaged.data.rows, packaged.record.signature))
    np.testing.assert_allclose(reference.columns["score"], session.scores(matrix), atol=1e-6)


def test_no_personal_value_is_among_them(packaged: Packaged, tmp_path: Path):
    record = packaged.record
    signature = record.signature.model_copy(update={"personal": {"carrier": "pseudonymise"}})
    example_rows = packaged.data.rows
    matrix = signature.matrix(as_columns(example_rows, signature))
    write_reference(
        tmp_path,
        signature,
        at=example_rows["event_timestamp"].dt.tz_localize(None).to_numpy(),
        entities=example_rows["carrier"].to_numpy(object),
        matrix=matrix,
        scores=matrix[:, 0],
    )
    rows = pq.read_table(tmp_path / REFERENCE_FILE)
    assert "carrier" not in rows.column_names
    assert rows.schema.field("_entity").type == pa.int64()


def edit(folder: Path, **changed: Any) -> None:
    path = folder / BUNDLE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def by_miles(matrix: Any) -> Any:
    """Scores 0.1, 0.4 and 0.9 for ROWS, 0 without miles and 0.5 for an unknown carrier."""
    return np.where(matrix[:, 0] < 0, 0.5, np.nan_to_num(matrix[:, 1]) / 100)


def parity_of(exported: Callable[[Any], Any], threshold: float = 0.45) -> Parity:
    return measure_parity(by_miles, exported, ROWS, PAIR, threshold)


def test_a_package_says_what_it_is_and_what_it_was_made_from(packaged: Packaged):
    bundle = load_bundle(packaged.folder)
    assert (bundle.model, bundle.candidate, bundle.threshold) == ("trip-delay", "logistic", 0.5)
    assert (bundle.feature_service, bundle.dataset, bundle.version) == ("trip_v1", "trips", None)
    assert bundle.signature == packaged.record.signature
    assert (bundle.tables, bundle.as_of) == ({"trips/clean/trips": 0}, example.AS_OF.isoformat())
    assert bundle.spec_digest == hash_json(example.model().model_dump(mode="json"))
    assert bundle.files == {name: hash_file(packaged.folder / name) for name in (MODEL_FILE, REFERENCE_FILE)}


def test_a_package_says_how_its_features_are_read_online(packaged: Packaged, tmp_path: Path):
    view = LookupView(name="network", keys=(), ttl_seconds=60, features=("late_share",))
    plan = LookupPlan(project="fairlead", entity_key_serialization_version=3, views=(view,))
    replace(packaged.data, lookup=plan).save(tmp_path / "rows")
    data = TrainingSet.load(tmp_path / "rows")
    example.packaged(tmp_path / "bundle", data)
    assert load_bundle(tmp_path / "bundle").lookup == data.lookup == plan


def test_a_package_states_the_opset_of_its_graph(packaged: Packaged):
    versions = {item.domain: item.version for item in onnx.load(packaged.folder / MODEL_FILE).opset_import}
    assert load_bundle(packaged.folder).opset == versions[""]


def test_a_package_answers_like_the_fitted_model_on_the_test_rows_and_its_probes(packaged: Packaged):
    test = len(packaged.data.part("test"))
    assert (packaged.parity.rows, packaged.parity.probes) == (5 * test, 4 * test)
    assert (packaged.parity.max_abs < 1e-6, packaged.parity.flipped) == (True, 0)


def test_the_same_model_packaged_twice_is_the_same_to_the_byte(packaged: Packaged, tmp_path: Path):
    example.packaged(tmp_path, packaged.data)
    for name in (MODEL_FILE, BUNDLE_FILE):
        assert (tmp_path / name).read_bytes() == (packaged.folder / name).read_bytes()


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path):
    with pytest.raises(BundleError, match=r"is no bundle: there is no bundle\.json"):
        load_bundle(tmp_path)


def test_changed_bytes_are_refused(copy: Path):
    with (copy / MODEL_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx: SHA-256 must be \w{64}, but is \w{64}"):
        load_bundle(copy)


def test_a_missing_file_is_refused_by_name(copy: Path):
    (copy / MODEL_FILE).unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changed", "where"), [({"treshold": 0.4}, "treshold"), ({"format": 2}, "format"), ({"threshold": "x"}, "thresh")]
)
def test_a_key_that_is_unknown_or_wrong_is_refused_by_name(copy: Path, changed: dict[str, Any], where: str):
    edit(copy, **changed)
    with pytest.raises(BundleError, match=where):
        load_bundle(copy)


def test_a_bundle_that_is_no_json_is_refused(copy: Path):
    (copy / BUNDLE_FILE).write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json: .*JSON"):
        load_bundle(copy)


def test_a_release_is_the_package_under_a_version(packaged: Packaged, tmp_path: Path):
    target = tmp_path / "bundles" / "trip-delay" / "3"
    released = release_bundle(packaged.folder, target, "3")
    assert released == load_bundle(target) == load_bundle(packaged.folder).model_copy(update={"version": "3"})
    assert (target / MODEL_FILE).read_bytes() == (packaged.folder / MODEL_FILE).read_bytes()


def test_releasing_again_changes_nothing(packaged: Packaged, tmp_path: Path):
    first = release_bundle(packaged.folder, tmp_path / "3", "3")
    written = (tmp_path / "3" / BUNDLE_FILE).stat().st_mtime_ns
    assert release_bundle(packaged.folder, tmp_path / "3", "3") == first
    assert (tmp_path / "3" / BUNDLE_FILE).stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_another_bundle_is_not_released_to_a_place_that_is_taken(packaged: Packaged, copy: Path, tmp_path: Path):
    release_bundle(packaged.folder, tmp_path / "3", "3")
    edit(copy, threshold=0.4)
    with pytest.raises(BundleError, match="holds another bundle than the one to be released as version 3"):
        release_bundle(copy, tmp_path / "3", "3")
    assert load_bundle(tmp_path / "3").threshold == 0.5


def test_a_bundle_with_changed_bytes_is_not_released(copy: Path, tmp_path: Path):
    (copy / MODEL_FILE).write_bytes(b"spoilt")
    with pytest.raises(BundleError, match="SHA-256"):
        release_bundle(copy, tmp_path / "bundles" / "3", "3")
    assert not (tmp_path / "bundles").exists()


def test_a_release_that_fails_leaves_nothing_behind_and_says_why(copy: Path, tmp_path: Path):
    (copy / "notes").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HomeError, match=r"cannot write the bundle to .*3: .*No such file.*notes"):
        release_bundle(copy, tmp_path / "bundles" / "3", "3")
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(packaged: Packaged, tmp_path: Path):
    (tmp_path / "bundles").write_text("a file")
    with pytest.raises(HomeError, match=r"cannot write the bundle to .*bundles/3: "):
        release_bundle(packaged.folder, tmp_path / "bundles" / "3", "3")


def smoke(folder: Path, aside: Path, features: Any, probabilities: Any) -> "subprocess.CompletedProcess[str]":
    np.savez(aside / "sample.npz", features=features, probabilities=probabilities)
    command = [sys.executable, "-I", str(SMOKE_SCRIPT), str(folder), str(aside / "sample.npz")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sample(packaged: Packaged) -> tuple[Any, Any]:
    """Rows and the right answers to them."""
    signature = packaged.record.signature
    features = signature.matrix(as_columns(packaged.data.part("test"), signature))
    return features, ScoringSession.open(packaged.folder).probabilities(features)


def test_the_smoke_script_is_content_with_the_right_answers(packaged: Packaged, sample: Any, tmp_path: Path):
    features, right = sample
    assert smoke(packaged.folder, tmp_path, features, right).returncode == 0


@pytest.mark.parametrize("off", [2e-6, np.nan])
def test_the_smoke_script_fails_for_a_graph_that_answers_differently(
    packaged: Packaged, sample: Any, tmp_path: Path, off: float
):
    features, wrong = sample[0], sample[1].copy()
    wrong[5, 1] += off
    done = smoke(packaged.folder, tmp_path, features, wrong)
    assert (done.returncode, done.stderr.startswith("difference ")) == (1, True)


class MadeOf:
    """A fitted model whose graph is given."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto

    def scores(self, matrix: Any) -> Any:
        return np.full(len(matrix), 0.5)

    def to_onnx(self) -> onnx.ModelProto:
        return self.proto


def graph(*nodes: Any, outputs: tuple[str, ...] = ("probabilities",)) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in outputs]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 4])
    return helper.make_model(
        helper.make_graph(nodes, "g", [features], values), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


def test_a_graph_without_probabilities_is_not_exported():
    node = helper.make_node("Identity", ["features"], ["scores"])
    with pytest.raises(BundleError, match=r"must map 'features' to 'probabilities', but has \['scores'\]"):
        export(MadeOf(graph(node, outputs=("scores",))))


def test_an_export_keeps_the_probabilities_alone_and_states_its_shapes(packaged: Packaged):
    proto = onnx.load(packaged.folder / MODEL_FILE)
    shapes = {
        item.name: [size.dim_param or size.dim_value for size in item.type.tensor_type.shape.dim]
        for item in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {"features": ["n", 4], "probabilities": ["n", 2]}


def test_a_graph_of_the_wrong_width_is_not_packaged(packaged: Packaged, tmp_path: Path):
    made = MadeOf(graph(helper.make_node("Identity", ["features"], ["probabilities"])))
    with pytest.raises(BundleError, match=r"output 'probabilities' must be of shape \[2, 2\], but is \[2, 4\]"):
        package(example.model(), made, packaged.record, packaged.data, example.ORIGIN, tmp_path)


def test_scorers_that_agree_have_parity():
    assert parity_of(by_miles) == Parity(rows=9, probes=6, max_abs=0, flipped=0)


def test_a_difference_in_a_single_row_is_found_with_the_decisions_it_flips():
    def off_by_a_little(matrix: Any) -> Any:
        return by_miles(matrix) + np.where(matrix[:, 1] == 40, 0.06, 0)

    assert parity_of(off_by_a_little).max_abs == pytest.approx(0.06)
    assert parity_of(off_by_a_little).flipped == 1
    assert parity_of(off_by_a_little, threshold=0.3).flipped == 0


def test_a_missing_number_that_is_read_otherwise_is_found_though_no_row_has_one():
    assert parity_of(lambda matrix: by_miles(np.nan_to_num(matrix, nan=70))).max_abs == pytest.approx(0.7)


def test_an_unknown_category_that_is_read_otherwise_is_found_though_no_row_has_one():
    assert parity_of(lambda matrix: by_miles(np.abs(matrix))).max_abs == pytest.approx(0.4)
