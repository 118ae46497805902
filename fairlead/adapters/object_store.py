"""Bundles in S3, brought to a folder of this machine."""

import shutil
import tempfile
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fairlead.adapters import s3
from fairlead.errors import BundleError
from fairlead.packaging.bundle import BUNDLE_FILE

RETRIES = 3


class ObjectStoreFolder:
    """The bundles below an `s3://bucket/prefix`.

    Credentials come from the variables `AWS_…`, else from the pod's web identity, else from the machine's role.
    """

    def __init__(self, uri: str) -> None:
        """Nothing is read yet.

        Args:
            uri: `s3://bucket/prefix`, where the prefix is a bundle, holds versions, or holds models with versions.
        """
        self._uri = uri
        parts = urlsplit(uri)
        self._bucket, self._root = parts.netloc, parts.path.strip("/")
        self._copy = tempfile.TemporaryDirectory(prefix="fairlead-bundles-")

    def folder(self) -> Path:
        """Bring what has changed; returns the folder with all that is there now.

        Raises:
            BundleError: the store does not answer, or there is nothing.
        """
        from obstore.exceptions import BaseError

        here = Path(self._copy.name)
        try:
            manifests = [path for path in self._files(PurePosixPath(self._root)) if path.name == BUNDLE_FILE]
            for manifest in manifests:
                self._bring(manifest, here)
        except (OSError, BaseError) as error:
            raise BundleError(f"{self._uri}: cannot be read: {_first_line(error)}") from None
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
        for path in self._files(manifest.parent):
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

    def _files(self, folder: PurePosixPath) -> list[PurePosixPath]:
        return sorted(PurePosixPath(item["path"]) for page in self._store.list(str(folder)) for item in page)

    def _read(self, path: PurePosixPath) -> bytes:
        return bytes(self._store.get(str(path)).bytes())

    @cached_property
    def _store(self) -> Any:
        return s3_store(self._bucket)


def s3_store(bucket: str) -> Any:
    """A bucket, by obstore. It imports obstore; nothing is asked yet."""
    from obstore.store import S3Store

    endpoint = s3.endpoint()
    return S3Store(
        bucket,
        config={"endpoint": endpoint} if endpoint else {},
        client_options={
            "connect_timeout": timedelta(seconds=s3.CONNECT_SECONDS),
            "timeout": timedelta(seconds=s3.REQUEST_SECONDS),
            "allow_http": True,
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=s3.REQUEST_SECONDS)},
    )


def _first_line(error: Exception) -> str:
    """The error itself; the lines after it show the inside of the client."""
    return str(error).partition("\n")[0]
