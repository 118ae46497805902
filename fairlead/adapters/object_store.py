"""Bundles in S3, brought to a folder of this machine."""

import shutil
import tempfile
from pathlib import Path, PurePosixPath

from fairlead.adapters import s3
from fairlead.errors import BundleError
from fairlead.packaging.bundle import BUNDLE_FILE


class ObjectStoreFolder:
    """The bundles below an `s3://bucket/prefix`, with the credentials that AWS's own tools would take."""

    def __init__(self, uri: str) -> None:
        """Nothing is read yet.

        Args:
            uri: `s3://bucket/prefix`, where the prefix is a bundle, holds versions, or holds models with versions.
        """
        self._uri = uri
        self._root = s3.path(uri).rstrip("/")
        self._copy = tempfile.TemporaryDirectory(prefix="fairlead-bundles-")

    def folder(self) -> Path:
        """Bring what has changed; returns the folder with all that is there now.

        Raises:
            BundleError: the store does not answer, or there is nothing.
        """
        here = Path(self._copy.name)
        try:
            manifests = [path for path in self._files(self._root) if path.name == BUNDLE_FILE]
            for manifest in manifests:
                self._bring(manifest, here)
        except OSError as error:
            raise BundleError(f"{self._uri}: cannot be read: {error}") from None
        if not manifests:
            raise BundleError(f"{self._uri}: must hold a bundle, but there is no {BUNDLE_FILE}")
        self._remove_others({self._local(path, here).parent for path in manifests}, here)
        return here

    def _bring(self, manifest: PurePosixPath, here: Path) -> None:
        """Copy one bundle, unless the same is here: whoever reads meanwhile sees all of the old one or of the new."""
        target = self._local(manifest, here).parent
        content = self._read(manifest)
        if (target / BUNDLE_FILE).exists() and (target / BUNDLE_FILE).read_bytes() == content:
            return
        aside = Path(tempfile.mkdtemp(prefix=".bringing-", dir=here))
        for path in self._files(str(manifest.parent)):
            copy = aside / path.relative_to(manifest.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(self._read(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target == here:  # the prefix is the bundle itself
            for file in aside.iterdir():
                file.replace(here / file.name)
            aside.rmdir()
            return
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)

    def _remove_others(self, wanted: set[Path], here: Path) -> None:
        for manifest in list(here.rglob(BUNDLE_FILE)):
            if manifest.parent not in wanted:
                shutil.rmtree(manifest.parent)

    def _local(self, path: PurePosixPath, here: Path) -> Path:
        return here / path.relative_to(self._root)

    def _files(self, prefix: str) -> list[PurePosixPath]:
        from pyarrow.fs import FileSelector, FileType

        found = s3.filesystem().get_file_info(FileSelector(prefix, recursive=True, allow_not_found=True))
        return sorted(PurePosixPath(item.path) for item in found if item.type == FileType.File)

    def _read(self, path: PurePosixPath) -> bytes:
        with s3.filesystem().open_input_file(str(path)) as file:
            content: bytes = file.read()
        return content
