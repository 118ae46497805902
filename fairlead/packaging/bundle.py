"""The bundle folder: `model.onnx`, `bundle.json` and `reference.parquet`; one for a server, a batch job and Triton."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fairlead.errors import BundleError, HomeError
from fairlead.features.lookup import LookupPlan
from fairlead.lineage.digest import hash_file
from fairlead.packaging.signature import Signature
from fairlead.spec.model import ServingSpec

MODEL_FILE = "model.onnx"
BUNDLE_FILE = "bundle.json"
REFERENCE_FILE = "reference.parquet"
"""Rows that records are compared with; servers do not read it."""


class Bundle(BaseModel):
    """What `bundle.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal[1] = 1
    model: str
    description: str
    version: str | None = None
    """Given by the registry; None until then."""
    task: Literal["binary"]
    candidate: str
    """Which algorithm won the tuning."""
    signature: Signature
    """The graph takes one tensor `features`, FP32 [n, d], and returns one tensor `probabilities`, FP32 [n, 2]."""
    threshold: float
    """A score at or above it is a yes."""
    feature_service: str
    lookup: LookupPlan | None = None
    """How a server reads that service; None: it cannot, and takes finished vectors only."""
    serving: ServingSpec = ServingSpec()
    dataset: str
    as_of: str
    """The run knew nothing later than this instant."""
    tables: dict[str, int]
    """Table → version that the model was made from."""
    code_version: str
    lock: str
    spec_digest: str
    opset: int
    files: dict[str, str]
    """File → SHA-256."""


def read_bundle(folder: Path) -> Bundle:
    """Read what a bundle says of itself.

    Raises:
        BundleError: it says nothing, or nothing that is understood.
    """
    path = folder / BUNDLE_FILE
    try:
        return Bundle.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder}: is no bundle: there is no {BUNDLE_FILE}") from None
    except ValidationError as error:
        raise BundleError(f"{path}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from None


def load_bundle(folder: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: a file is missing, or its bytes are not those that were packaged.
    """
    bundle = read_bundle(folder)
    for name, expected in bundle.files.items():
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: {name} is missing")
        found = hash_file(folder / name)
        if found != expected:
            raise BundleError(f"{folder / name}: SHA-256 must be {expected}, but is {found}")
    return bundle


def release_bundle(packaged: Path, target: Path, version: str) -> Bundle:
    """Copy a packaged bundle to its place under a version; repeating it changes nothing.

    Raises:
        BundleError: another model already lies there.
        HomeError: the place cannot be written.
    """
    bundle = load_bundle(packaged).model_copy(update={"version": version})
    if target.exists():
        require_same(load_bundle(target), bundle, str(target))
        return bundle
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as aside:
            folder = Path(shutil.copytree(packaged, Path(aside, target.name)))
            write_bundle(bundle, folder)
            folder.chmod(0o755)
            folder.rename(target)
    except OSError as error:
        raise HomeError(f"cannot write the bundle to {target}: {error.strerror or error}") from None
    return bundle


def require_same(there: Bundle, bundle: Bundle, where: str) -> None:
    """Let a release be repeated, but never replaced.

    Raises:
        BundleError: what is there is another bundle.
    """
    if there != bundle:
        raise BundleError(f"{where}: holds another bundle than the one to be released as version {bundle.version}")


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write `bundle.json` into a folder."""
    (folder / BUNDLE_FILE).write_text(bundle_json(bundle), encoding="utf-8")


def bundle_json(bundle: Bundle) -> str:
    """What `bundle.json` holds, as text."""
    return bundle.model_dump_json(indent=2) + "\n"
