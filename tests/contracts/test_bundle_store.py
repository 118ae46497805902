"""What every `BundleStore` does: a released bundle is whole, and stays as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.adapters import bundles, s3_arrow
from fairlead.adapters.bundles import FolderBundles, S3Bundles, open_bundles
from fairlead.adapters.object_store import ObjectStoreFolder
from fairlead.errors import BundleError, HomeError
from fairlead.packaging.bundle import BUNDLE_FILE, MODEL_FILE, load_bundle
from tests.local.test_serving import write
from tests.s3_server import BUCKET, s3_server

MODEL = "flight-delay"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty store."""
    if request.param == "folder":
        return FolderBundles(str(tmp_path / "bundles"))
    return S3Bundles(f"{request.getfixturevalue('bucket')}{tmp_path}/bundles")


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    return write(tmp_path / "packaged", version=None)


def test_a_released_bundle_is_the_packaged_one_under_its_version(store: Any, packaged: Path) -> None:
    released = store.release(packaged, MODEL, "7")
    assert load_bundle(store.folder(MODEL, "7")) == released
    assert released == load_bundle(packaged).model_copy(update={"version": "7"})
    assert store.uri(MODEL, "7").endswith(f"/bundles/{MODEL}/7")


def test_a_release_may_be_repeated(store: Any, packaged: Path) -> None:
    assert store.release(packaged, MODEL, "7") == store.release(packaged, MODEL, "7")


def test_another_bundle_never_takes_the_place_of_a_released_one(store: Any, packaged: Path, tmp_path: Path) -> None:
    released = store.release(packaged, MODEL, "7")
    with pytest.raises(BundleError, match="holds another bundle than the one to be released as version 7"):
        store.release(write(tmp_path / "other", version=None, description="Another"), MODEL, "7")
    assert load_bundle(store.folder(MODEL, "7")) == released


def test_a_damaged_package_is_not_released(store: Any, packaged: Path) -> None:
    (packaged / MODEL_FILE).write_bytes(b"damage")
    with pytest.raises(BundleError, match="SHA-256 must be"):
        store.release(packaged, MODEL, "7")
    with pytest.raises(BundleError):
        load_bundle(store.folder(MODEL, "7"))


def test_in_s3_the_manifest_comes_last_so_a_killed_release_is_no_bundle_and_is_begun_anew(
    bucket: str, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, written = S3Bundles(f"{bucket}{tmp_path}/bundles"), []

    def killed_before_the_manifest(uri: str, content: bytes) -> None:
        if uri.endswith(BUNDLE_FILE):
            raise KeyboardInterrupt
        written.append(uri)
        whole(uri, content)

    whole = bundles._write
    monkeypatch.setattr(bundles, "_write", killed_before_the_manifest)
    with pytest.raises(KeyboardInterrupt):
        store.release(packaged, MODEL, "7")
    assert written == [f"{store.uri(MODEL, '7')}/{MODEL_FILE}"]
    with pytest.raises(BundleError, match=r"there is no bundle\.json"):
        ObjectStoreFolder(store.uri(MODEL, "7")).folder()
    monkeypatch.setattr(bundles, "_write", whole)
    store.release(packaged, MODEL, "7")
    assert load_bundle(store.folder(MODEL, "7")).version == "7"


def test_a_place_that_cannot_be_written_is_told(bucket: str, packaged: Path) -> None:
    with pytest.raises(HomeError, match="cannot write the bundle to s3://nowhere/bundles/flight-delay/7"):
        S3Bundles("s3://nowhere/bundles").release(packaged, MODEL, "7")


def test_other_schemes_are_refused() -> None:
    with pytest.raises(BundleError, match=r"in a folder or in s3://, but FAIRLEAD_BUNDLES_URI is 'gs://bucket'"):
        open_bundles("gs://bucket")


def test_files_in_s3_are_read_as_one_table_whatever_their_keys_hold(bucket: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    uri = f"{bucket}{tmp_path}/a b/rows.parquet"
    pq.write_table(pa.table({"number": [1, 2]}), s3_arrow.path(uri), filesystem=s3_arrow.filesystem())
    assert s3_arrow.dataset([uri]).to_table().to_pydict() == {"number": [1, 2]}
