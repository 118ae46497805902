"""Where bundles come from: a folder, or object storage that is brought into one."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from fairlead.errors import BundleError
from serving.repository import Folder, Source


def source(uri: str) -> Source:
    """The source that a URI or a path names.

    Raises:
        BundleError: its scheme is not known.
    """
    parts = urlsplit(uri)
    if parts.scheme == "":
        return Folder(Path(uri))
    if parts.scheme == "file":
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        from fairlead.adapters.object_store import ObjectStoreFolder

        return ObjectStoreFolder(uri)
    raise BundleError(f"a bundle must be named by a path, file:// or s3://, but is by {uri!r}")
