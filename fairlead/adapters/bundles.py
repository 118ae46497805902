"""Released bundles, in a folder or in S3: `<root>/<model>/<version>/`."""

from functools import lru_cache
from pathlib import Path

from fairlead.adapters import s3, s3_arrow
from fairlead.adapters.object_store import ObjectStoreFolder
from fairlead.errors import BundleError, HomeError
from fairlead.packaging.bundle import (
    BUNDLE_FILE,
    Bundle,
    bundle_json,
    load_bundle,
    release_bundle,
    require_same,
)
from fairlead.ports import BundleStore


class FolderBundles:
    """`BundleStore` in a folder."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def uri(self, model: str, version: str) -> str:
        return str(self._root / model / version)

    def folder(self, model: str, version: str) -> Path:
        return self._root / model / version

    def release(self, packaged: Path, model: str, version: str) -> Bundle:
        return release_bundle(packaged, self.folder(model, version), version)


class S3Bundles:
    """`BundleStore` below an `s3://bucket/prefix`."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._brought: dict[str, ObjectStoreFolder] = {}
        """Copies go with the objects that made them."""

    def uri(self, model: str, version: str) -> str:
        return f"{self._root}/{model}/{version}"

    def folder(self, model: str, version: str) -> Path:
        uri = self.uri(model, version)
        return self._brought.setdefault(uri, ObjectStoreFolder(uri)).folder()

    def release(self, packaged: Path, model: str, version: str) -> Bundle:
        bundle = load_bundle(packaged).model_copy(update={"version": version})
        uri = self.uri(model, version)
        try:
            if self._is_there(uri):
                require_same(load_bundle(self.folder(model, version)), bundle, uri)
                return bundle
            for file in sorted(packaged.rglob("*")):
                if file.is_file() and file.name != BUNDLE_FILE:
                    _write(f"{uri}/{file.relative_to(packaged).as_posix()}", file.read_bytes())
            # Last: a prefix without it is no bundle to any reader, and a killed release is begun anew.
            _write(f"{uri}/{BUNDLE_FILE}", bundle_json(bundle).encode())
        except OSError as error:
            raise HomeError(f"cannot write the bundle to {uri}: {error}") from None
        return bundle

    def _is_there(self, uri: str) -> bool:
        from pyarrow.fs import FileType

        return bool(s3_arrow.filesystem().get_file_info(s3_arrow.path(f"{uri}/{BUNDLE_FILE}")).type == FileType.File)


@lru_cache  # so that what was brought to this machine stays until the process ends
def open_bundles(root: str) -> BundleStore:
    """The store that a URI or a path names.

    Raises:
        BundleError: its scheme is not known.
    """
    if s3.in_s3(root):
        return S3Bundles(root)
    if "://" in root:
        raise BundleError(f"bundles must be kept in a folder or in s3://, but FAIRLEAD_BUNDLES_URI is {root!r}")
    return FolderBundles(root)


def _write(uri: str, content: bytes) -> None:
    with s3_arrow.filesystem().open_output_stream(s3_arrow.path(uri)) as file:
        file.write(content)
