"""`python -m serving.fetch <s3 uri> <folder>`: bring one bundle and check it, before a server starts beside it.

The arguments are those of KServe's storage initializer. A pod that ends with an error is started again, later each
time, and its last line is the pod's message: what was tried, where, and what came of it.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fairlead.adapters import s3
from fairlead.adapters.object_store import ObjectStoreFolder
from fairlead.errors import BundleError, FairleadError
from fairlead.packaging.bundle import BUNDLE_FILE, load_bundle

EXIT_NOT_FETCHED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the bundle is there and whole; 2: it is not, and one line on stderr says why."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 2:
        sys.stderr.write("usage: python -m serving.fetch <s3://bucket/…/model/version> <folder>\n")
        return EXIT_NOT_FETCHED
    try:
        sys.stdout.write(f"{fetch(words[0], Path(words[1]))}\n")
    except FairleadError as error:
        sys.stderr.write(f"error: {error} (asked {_store()})\n")
        return EXIT_NOT_FETCHED
    return 0


def _store() -> str:
    endpoint = s3.endpoint() or "AWS"
    key = os.environ.get("AWS_ACCESS_KEY_ID")
    return f"{endpoint} as {key[:4]}…" if key else f"{endpoint} without AWS_ACCESS_KEY_ID"


def fetch(uri: str, folder: Path) -> str:
    """Bring the bundle at `uri` into `folder`; returns what was brought.

    Raises:
        BundleError: the store does not answer, there is no bundle, its bytes are not those that were packaged, or it
            is another one than its place says.
    """
    model, version = uri.rstrip("/").split("/")[-2:]
    source = ObjectStoreFolder(uri)  # what it brings goes with it
    found = source.folder()
    bundle = load_bundle(found)
    if (bundle.model, bundle.version) != (model, version):
        raise BundleError(f"{uri}: must be {model} {version} like its place, but is {bundle.model} {bundle.version}")
    try:
        for name in (*bundle.files, BUNDLE_FILE):
            shutil.copyfile(found / name, folder / name)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written: {error.strerror}") from None
    return f"{model} {version} is in {folder}"


if __name__ == "__main__":
    raise SystemExit(main())
