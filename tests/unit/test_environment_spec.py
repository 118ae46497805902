"""Environments and their images: what is refused, and with which words."""

from pathlib import Path

import pytest

from fairlead.errors import SpecError
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec
from fairlead.spec.load import load_document, load_text

ENVS = Path(__file__).parents[2] / "manifests/envs"
PATH = Path("images.yaml")


@pytest.mark.parametrize("name", ["dev", "staging", "production"])
def test_the_environments_that_ship_hold(name):
    assert load_document(ENVS / name / "environment.yaml", EnvironmentSpec).name == name
    load_document(ENVS / name / "images.yaml", ImagesSpec)
    load_document(ENVS / name / "flight-delay" / "scale.yaml", ScaleSpec)


@pytest.mark.parametrize("image", ["fairlead/serving", "fairlead/serving:latest", "registry:5000/fairlead/serving"])
def test_an_image_that_can_change_is_refused(image):
    with pytest.raises(SpecError, match=r"images\.yaml:2: serving: must have a digest or a tag other than `latest`"):
        load_text(f"pipeline: a:1\nserving: {image}\nmonitoring: a:1\n", PATH, ImagesSpec)


@pytest.mark.parametrize(
    "image",
    ["registry.example.com:5000/fairlead/serving:1.2.0", "serving@sha256:" + "0" * 64, "a/b:latest@sha256:" + "1" * 64],
)
def test_an_image_that_stays_is_taken(image):
    assert load_text(f"pipeline: a:1\nserving: {image}\nmonitoring: a:1\n", PATH, ImagesSpec).serving == image


def test_a_bucket_must_be_an_s3_address():
    text = (ENVS / "dev/environment.yaml").read_text().replace("s3://fairlead-dev", "/data")
    with pytest.raises(SpecError, match=r"environment\.yaml:\d+: storage\.bucket: .*'/data'"):
        load_text(text, Path("environment.yaml"), EnvironmentSpec)


def test_pipelines_must_not_be_where_the_endpoints_are():
    text = (ENVS / "staging/environment.yaml").read_text() + "pipelines: {namespace: fairlead-staging}\n"
    with pytest.raises(SpecError, match=r":11: pipelines.namespace: must be another than namespace, "):
        load_text(text, Path("environment.yaml"), EnvironmentSpec)
