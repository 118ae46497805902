"""The models at hand, by name and version: bundles come, are replaced and go while requests are answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from fairlead import metrics as catalogue
from fairlead.errors import BundleError, EndpointError, FairleadError
from fairlead.packaging.bundle import BUNDLE_FILE, Bundle, read_bundle
from fairlead.packaging.session import ScoringSession
from fairlead.records.recorder import Recorder
from serving.lane import Route
from serving.lookup import ReaderOf
from serving.metrics import metric
from serving.model import BundleModel, ColumnsModel, VectorModel
from serving.names import model_and_version
from serving.recording import RequestRecorder
from serving.sdk import InvalidInput, ModelNotFound, ModelRepository, ModelRepositoryExtension
from serving.unavailable import FeaturesUnavailable

DEPTH = 3
"""A source is a bundle, a folder of versions, or a folder of models with their versions."""

Versions = Literal["latest", "all"]


class Source(Protocol):
    """Where bundles come from."""

    def folder(self) -> Path:
        """A folder on this machine with what is there now.

        Raises:
            BundleError: it cannot be read.
        """
        ...


class Folder:
    """A source on this machine: also what KServe's storage initializer has filled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def folder(self) -> Path:
        if not self._path.is_dir():
            raise BundleError(f"{self._path}: must be a folder with bundles, but there is none")
        return self._path


class BundleRepository(ModelRepository):
    """The SDK's repository over bundles. A name answers in its newest version; `<name>@<version>` in that one."""

    def __init__(
        self,
        sources: Sequence[Source],
        reader_of: ReaderOf | None,
        versions: Versions,
        recorder: Recorder | None = None,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            sources: where bundles are looked for, each time.
            reader_of: what bundles look features up with; None: nothing.
            versions: which versions of a model are loaded where a source has several.
            recorder: keeps a record of each answer; None: none is kept.
        """
        super().__init__()
        self._recorder = recorder
        self._sources = sources
        self._reader_of = reader_of
        self._versions = versions
        self._loaded: dict[str, dict[str, tuple[BundleModel, BundleModel]]] = {}
        self.on_change: Callable[[Mapping[str, Route]], None] = lambda routes: None

    def open_all(self) -> None:
        """Load everything that the sources hold.

        Raises:
            BundleError: a bundle is damaged, does not fit its features, or needs features where there are none.
            EndpointError: there is no bundle, two answer to one name, or a feature store cannot be read.
        """
        found = self._find()
        if not found:
            raise EndpointError("there must be a bundle to serve, but the sources hold none")
        for model in found:
            self._swap(model, self._open(self._chosen(found[model])))

    def get_models(self) -> dict[str, BundleModel]:
        """What answers without a version."""
        return {name: model for name, model in self.models.items() if "@" not in name}

    async def load(self, name: str) -> bool:  # type: ignore[override]  # the SDK awaits it if it can
        """Load a model's newest version, or `<model>@<version>`, from the sources; what is there serves until then.

        Raises:
            ModelNotFound: no source has it.
            InvalidInput: its bundle is refused; what served keeps serving.
        """
        model, version = model_and_version(name)
        try:
            opened = await asyncio.to_thread(self._find_and_open, model, version)
        except (FairleadError, FeaturesUnavailable) as error:
            metric(catalogue.LOADS).labels(model, "refused").inc()
            kept = ", ".join(f"{model}@{version}" for version in self._loaded.get(model, {}))
            raise InvalidInput(f"{error}" + (f"; {kept} keeps serving" if kept else "")) from None
        if not opened:
            raise ModelNotFound(name)
        keep = {} if self._versions == "latest" and not version else self._loaded.get(model, {})
        self._swap(model, {**keep, **opened})
        metric(catalogue.LOADS).labels(model, "ok").inc()
        return True

    def unload(self, name: str) -> None:
        """Forget a model, or one version of it; requests at hand are still answered.

        Raises:
            KeyError: it is not here.
        """
        model, version = model_and_version(name)
        remaining = dict(self._loaded[model])
        for gone in [version] if version else list(remaining):
            del remaining[gone]
        self._swap(model, remaining)

    def _find_and_open(self, model: str, version: str) -> dict[str, tuple[BundleModel, BundleModel]]:
        found = self._find().get(model, {})
        if version:
            return self._open({version: found[version]} if version in found else {})
        return self._open(self._chosen(found))

    def _find(self) -> dict[str, dict[str, Path]]:
        """Model → version → folder, in the order of versions."""
        found: dict[str, dict[str, Path]] = {}
        for source in self._sources:
            for folder in bundle_folders(source.folder()):
                bundle = read_bundle(folder)
                versions = found.setdefault(bundle.model, {})
                if (bundle.version or "") in versions:
                    raise EndpointError(
                        f"each bundle must have a name and version of its own, but two are {show_bundle(bundle)}"
                    )
                versions[bundle.version or ""] = folder
        return {
            model: dict(sorted(versions.items(), key=lambda item: _order(item[0]))) for model, versions in found.items()
        }

    def _chosen(self, versions: Mapping[str, Path]) -> Mapping[str, Path]:
        return versions if self._versions == "all" else dict(list(versions.items())[-1:])

    def _open(self, versions: Mapping[str, Path]) -> dict[str, tuple[BundleModel, BundleModel]]:
        return {version: self._open_one(folder) for version, folder in versions.items()}

    def _open_one(self, folder: Path) -> tuple[BundleModel, BundleModel]:
        session = ScoringSession.open(folder)
        reader = self._reader_of(session.bundle) if self._reader_of and session.bundle.signature.looked_up else None
        columns, vector = ColumnsModel(session, reader), VectorModel(session)
        try:
            columns.load()
            vector.load()
        except FeaturesUnavailable as error:
            raise EndpointError(str(error)) from None
        if self._recorder is not None:
            columns.records = vector.records = RequestRecorder(session.bundle, self._recorder)
        return columns, vector

    def _swap(self, model: str, versions: dict[str, tuple[BundleModel, BundleModel]]) -> None:
        """Make these the versions of a model, in one step for every request."""
        for pair in self._loaded.get(model, {}).values():
            tell_about(pair[0].session.bundle, serving=False)
        loaded = {**self._loaded, model: dict(sorted(versions.items(), key=lambda item: _order(item[0])))}
        self._loaded = {name: pairs for name, pairs in loaded.items() if pairs}
        models: dict[str, BundleModel] = {}
        for pairs in self._loaded.values():
            for version, pair in pairs.items():
                models.update({item.name: item for item in pair})  # the last, and so the newest, keeps the name
                models.update({f"{item.name}@{version}": item for item in pair if version})
                tell_about(pair[0].session.bundle, serving=True)
        self.models = models
        self.on_change(routes(models))


class Extension(ModelRepositoryExtension):
    """The SDK's extension, which swallows why a load failed, and answers gRPC with an error whatever happened."""

    def __init__(self, repository: BundleRepository) -> None:
        super().__init__(repository)
        self._repository = repository
        self.share: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
        """Makes a change in all workers; None where there is one process."""

    async def load(self, model_name: str) -> dict[str, object]:  # type: ignore[override]
        """Load a model; the dictionary is what the SDK's gRPC wants.

        Raises:
            ModelNotFound: no source has it.
            InvalidInput: its bundle is refused; what served keeps serving.
        """
        await (self.share or self.change)({"action": "load", "name": model_name})
        return {"name": model_name, "load": True}

    async def unload(self, model_name: str) -> dict[str, object]:  # type: ignore[override]
        """Forget a model.

        Raises:
            ModelNotFound: it is not here.
        """
        await (self.share or self.change)({"action": "unload", "name": model_name})
        return {"name": model_name, "unload": True}

    async def change(self, change: Mapping[str, str]) -> None:
        """Load or unload in this process."""
        if change["action"] == "load":
            await self._repository.load(change["name"])
            return
        try:
            self._repository.unload(change["name"])
        except KeyError:
            raise ModelNotFound(change["name"]) from None


def bundle_folders(folder: Path) -> list[Path]:
    """The bundles in a folder, which may be one itself, hold versions, or hold models with versions.

    Raises:
        BundleError: the folder cannot be read.
    """
    try:
        for depth in range(DEPTH):
            if found := sorted(folder.glob("/".join(["*"] * depth + [BUNDLE_FILE]))):
                return [path.parent for path in found if not path.parent.name.startswith(".")]
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error.strerror}") from None
    return []


def routes(models: Mapping[str, BundleModel]) -> dict[str, Route]:
    """The paths of inference: with a version where one is named."""
    found = {}
    for name, model in models.items():
        plain, _, version = name.partition("@")
        if version:
            found[f"/v2/models/{plain}/versions/{version}/infer"] = Route(model, "v2")
        else:
            found[f"/v2/models/{plain}/infer"] = Route(model, "v2")
            found[f"/v1/models/{plain}:predict"] = Route(model, "v1")
    return found


def tell_about(bundle: Bundle, *, serving: bool) -> None:
    """Set or clear a version's line in `fairlead_model_info`."""
    digest = next(iter(sorted(bundle.files.values())), "")[:12]
    labels = (bundle.model, bundle.version or "", digest, bundle.candidate, bundle.as_of)
    metric(catalogue.MODEL_INFO).labels(*labels).set(1 if serving else 0)


def show_bundle(bundle: Bundle) -> str:
    """`flight-delay@3`; the bare name where the registry has not given a version."""
    return f"{bundle.model}@{bundle.version}" if bundle.version else bundle.model


def _order(version: str) -> tuple[bool, int, str]:
    """Numbers by size, after everything else."""
    return (version.isdigit(), int(version) if version.isdigit() else 0, version)
