"""Bundles in S3, over the real protocol: moto's server speaks it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from fairlead.adapters.object_store import ObjectStoreFolder
from fairlead.errors import BundleError
from fairlead.packaging.bundle import load_bundle
from serving.repository import bundle_folders
from tests.local.test_serving import write
from tests.local.test_workers import serving
from tests.s3_server import s3_server


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


def upload(folder: Path, bucket: str, prefix: str) -> None:
    client = boto3.client("s3")
    if bucket not in {item["Name"] for item in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder)}")


def remove(bucket: str, prefix: str) -> None:
    client = boto3.client("s3")
    for item in client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        client.delete_object(Bucket=bucket, Key=item["Key"])


def test_a_server_takes_its_bundle_from_s3_and_a_newer_one_when_it_is_told_to_load(
    environ: dict[str, str], tmp_path: Path
) -> None:
    upload(write(tmp_path / "3"), "bundles", "models/flight-delay/3")
    with serving(tmp_path / "log", "--bundle", "s3://bundles/models", environ=environ) as server:
        assert server.predict().status_code == 200
        upload(write(tmp_path / "4", version="4"), "bundles", "models/flight-delay/4")
        assert server.call("POST", "/v2/repository/models/flight-delay/load").status_code == 200
        assert server.call("GET", "/v2/models/flight-delay").json()["versions"] == ["4"]


@pytest.mark.parametrize("uri", ["s3://one/a/flight-delay/3", "s3://one/a/flight-delay", "s3://one/a", "s3://one/a/"])
def test_a_prefix_may_be_a_bundle_or_hold_versions_or_models(environ: dict[str, str], tmp_path: Path, uri: str) -> None:
    upload(write(tmp_path / "3"), "one", "a/flight-delay/3")
    source = ObjectStoreFolder(uri)  # what it has brought goes with it
    (folder,) = bundle_folders(source.folder())
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.onnx"]


def test_what_is_replaced_is_brought_again_and_what_is_gone_goes(environ: dict[str, str], tmp_path: Path) -> None:
    upload(write(tmp_path / "3"), "two", "m/3")
    source = ObjectStoreFolder("s3://two/m")
    first = source.folder() / "3" / "bundle.json"
    before = first.read_bytes()
    shutil.rmtree(tmp_path / "3")
    upload(write(tmp_path / "3", description="Another"), "two", "m/3")
    upload(write(tmp_path / "4", version="4"), "two", "m/4")
    source.folder()
    assert first.read_bytes() != before
    remove("two", "m/3")
    assert [folder.name for folder in bundle_folders(source.folder())] == ["4"]


@pytest.mark.parametrize("uri", ["s3://nowhere/m", "s3://empty-prefix/none"])
def test_where_there_is_nothing_that_is_told(environ: dict[str, str], uri: str) -> None:
    with pytest.raises(BundleError, match=uri):
        ObjectStoreFolder(uri).folder()


def test_a_store_that_cannot_be_reached_is_told(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BundleError, match="s3://bundles/m: cannot be read"):
        ObjectStoreFolder("s3://bundles/m").folder()


def fetched(uri: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a pod's first container does."""
    command = [sys.executable, "-P", "-m", "serving.fetch", uri, str(folder)]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def test_a_pod_fetches_the_bundle_that_its_release_names(environ: dict[str, str], tmp_path: Path) -> None:
    upload(write(tmp_path / "3"), "fetch", "bundles/flight-delay/3")
    folder = tmp_path / "models"
    folder.mkdir()
    done = fetched("s3://fetch/bundles/flight-delay/3", folder, environ)
    assert (done.returncode, done.stdout) == (0, f"flight-delay 3 is in {folder}\n"), done.stderr
    assert load_bundle(folder).version == "3"


def test_a_bundle_that_is_damaged_or_of_another_version_is_not_served(environ: dict[str, str], tmp_path: Path) -> None:
    bundle = write(tmp_path / "3")
    upload(bundle, "fetch", "bundles/flight-delay/9")
    done = fetched("s3://fetch/bundles/flight-delay/9", tmp_path, environ)
    assert done.returncode == 2
    assert "must be flight-delay 9 like its place, but is flight-delay 3" in done.stderr
    (bundle / "model.onnx").write_bytes(b"broken")
    upload(bundle, "fetch", "bundles/flight-delay/3")
    done = fetched("s3://fetch/bundles/flight-delay/3", tmp_path, environ)
    assert done.returncode == 2
    assert "model.onnx: SHA-256 must be" in done.stderr


@pytest.mark.parametrize(
    ("variables", "uri", "message"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://fetch/bundles/flight-delay/3", "cannot be read"),
        ({}, "s3://fetch/bundles/flight-delay/77", "must hold a bundle, but there is no bundle.json"),
    ],
)
def test_a_pod_that_gets_no_bundle_says_what_was_asked_and_where(
    environ: dict[str, str], tmp_path: Path, variables: dict[str, str], uri: str, message: str
) -> None:
    upload(write(tmp_path / "3"), "fetch", "bundles/flight-delay/3")
    asked = {**environ, **variables}
    done = fetched(uri, tmp_path, asked)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {uri}: ")
    assert message in line
    assert line.endswith(f"(asked {asked['AWS_ENDPOINT_URL']} as some…)")
