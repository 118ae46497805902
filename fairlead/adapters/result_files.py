"""Results of jobs that watch, as JSON: `<root>/monitoring/<model>/<detector>.json`, in a folder or in S3."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from fairlead.adapters.s3 import in_s3
from fairlead.adapters.s3_arrow import filesystem
from fairlead.adapters.s3_arrow import path as s3_path
from fairlead.errors import HomeError, MonitorError
from fairlead.files import write_whole
from fairlead.monitors.results import Result

FOLDER = "monitoring"
SUFFIX = ".json"


class ResultFiles:
    """`ResultStore` in files. A reader sees the old result or the new one, never a half."""

    def __init__(self, root: str) -> None:
        """Keep results below a root of tables, a folder or `s3://`."""
        self._root = f"{root.rstrip('/')}/{FOLDER}"

    def write(self, result: Result) -> None:
        uri, content = self._uri(result.model, result.detector), result.model_dump_json(indent=1).encode()
        try:
            if in_s3(uri):
                with filesystem().open_output_stream(s3_path(uri)) as file:
                    file.write(content)
            else:
                write_whole(Path(uri), content, durable=True)
        except OSError as error:
            raise HomeError(f"cannot write the result to {uri}: {error.strerror or error}") from None

    def read(self, model: str, detector: str) -> Result | None:
        uri = self._uri(model, detector)
        try:
            content = self._content(uri)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"cannot read the result {uri}: {error.strerror or error}") from None
        try:
            return Result.model_validate_json(content)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            place = ".".join(map(str, found["loc"])) or "the file"
            raise MonitorError(f"{uri}: {place}: {found['msg'].removeprefix('Value error, ')}") from None

    def names(self) -> list[tuple[str, str]]:
        try:
            paths = sorted(self._paths())
        except OSError as error:
            raise HomeError(f"cannot list the results in {self._root}: {error.strerror or error}") from None
        return [(path.parent.name, path.stem) for path in paths]

    def _uri(self, model: str, detector: str) -> str:
        return f"{self._root}/{model}/{detector}{SUFFIX}"

    def _content(self, uri: str) -> bytes:
        if in_s3(uri):
            with filesystem().open_input_stream(s3_path(uri)) as file:
                return bytes(file.read())
        return Path(uri).read_bytes()

    def _paths(self) -> Iterator[Path]:
        if not in_s3(self._root):
            yield from Path(self._root).glob(f"*/*{SUFFIX}")
            return
        from pyarrow.fs import FileSelector

        selector = FileSelector(s3_path(self._root), allow_not_found=True, recursive=True)
        yield from (Path(file.path) for file in filesystem().get_file_info(selector) if file.path.endswith(SUFFIX))
