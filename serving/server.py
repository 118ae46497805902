"""KServe's model server over bundles: the SDK's interfaces, with the SDK's gaps closed.

What differs from `kserve.ModelServer`: it listens where it is told, on a port taken beforehand; a client's mistake is
a 400 with one line, never a 500 and never a traceback in the log; model metadata names versions; it ends with 0.
"""

import asyncio
import logging
import logging.config
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc import aio

from fairlead.errors import EndpointError
from fairlead.packaging.session import ScoringSession
from serving.binary import explain, read_binary
from serving.listening import show
from serving.model import BundleModel, ColumnsModel, FeaturesUnavailable, OnlineFeatures, VectorModel
from serving.sdk import (
    INFERENCE_CONTENT_LENGTH_HEADER,
    MAX_GRPC_MESSAGE_LENGTH,
    DataPlane,
    ExceptionToStatusInterceptor,
    GRPCServer,
    InferenceError,
    InferenceServicer,
    InvalidInput,
    ModelNotFound,
    ModelRepositoryExtension,
    ModelServer,
    RESTServer,
    grpc_predict_v2_pb2_grpc,
)

GRACE_SECONDS = 30
"""How long requests may take to finish after a signal: the grace period of a pod."""
PLATFORM = "onnxruntime_onnx"
"""Triton's name for what runs the graph."""

FeaturesOf = Callable[[str], OnlineFeatures]
"""Dataset → its feature store."""


class Mistakes(logging.Filter):
    """Keeps what clients did wrong out of the log: they are told in the response."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, (InvalidInput, ModelNotFound))


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"mistakes": {"()": Mistakes}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["mistakes"]}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "WARNING", "propagate": False}
        for name in ("kserve", "kserve.trace", "uvicorn", "grpc")
    },
}


class BundleDataPlane(DataPlane):
    """The SDK's data plane, with readers that answer a client's mistake with 400."""

    def decode(
        self, body: Any, headers: dict[str, str], protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Understand a body: v1 as JSON whatever its content type says, v2 with or without binary tensors."""
        if protocol_version == "v2" and isinstance(body, bytes):
            return read_binary(body, headers.get(INFERENCE_CONTENT_LENGTH_HEADER), str(model_name)), {}
        if "cloudevents" not in headers.get("content-type", ""):
            # The SDK leaves a body undecoded whose content type is not exactly one it knows.
            headers = {**headers, "content-type": "application/json"}
        try:
            decoded: tuple[Any, dict[str, Any]] = super().decode(body, headers, protocol_version, model_name)
        except InvalidInput:
            raise
        except (InferenceError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise InvalidInput(f"the body cannot be understood: {error}") from None
        return decoded

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """The SDK's metadata, with the platform and the version that answers."""
        metadata = await super().model_metadata(model_name)
        model = self.get_model_from_registry(model_name)
        return {**metadata, "platform": PLATFORM, "versions": [model.version] if model.version else None}


class AnnouncingServer(uvicorn.Server):
    """Says one line when it answers."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stderr.write(f"{self._line}\n")
        sys.stderr.flush()


class RestServer(RESTServer):
    """v1 and v2 over HTTP. `config.app` is the whole interface, as an ASGI application."""

    def __init__(self, data_plane: DataPlane, repository: ModelRepositoryExtension, line: str = "ready") -> None:
        super().__init__("", data_plane, repository, http_port=0, grace_period=GRACE_SECONDS)
        self.config.app = self.create_application()
        self.config.access_log = False
        self._server = AnnouncingServer(self.config, line)

    def create_application(self) -> FastAPI:
        """The SDK's endpoints in an application of our own: its own one is shared by all servers of a process."""
        app = FastAPI(title="Fairlead", docs_url=None, redoc_url=None)
        self._register_endpoints(app)
        self._add_exception_handlers(app)
        app.add_exception_handler(RequestValidationError, refuse)
        return app

    async def start(self, listener: socket) -> None:
        """Answer on a taken port until told to leave."""
        await self._server.serve(sockets=[listener])

    def leave(self) -> None:
        """Finish the requests at hand and return from `start`."""
        self._server.should_exit = True


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """A body that is no v2 request: 400, where the SDK has 422 and another form of body."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": explain(list(error.errors()))}, status_code=400)


class GrpcServer(GRPCServer):
    """v2 over gRPC, on one address and never on a port that another process has."""

    def __init__(self, address: str, data_plane: DataPlane, repository: ModelRepositoryExtension) -> None:
        super().__init__(0, data_plane, repository, kwargs={}, grace_period=GRACE_SECONDS)
        self._address = address

    async def start(self, max_workers: int = 1) -> None:
        """Begin to answer, and return.

        Raises:
            EndpointError: the port was taken meanwhile.
        """
        self._server = aio.server(
            interceptors=(ExceptionToStatusInterceptor(),),
            options=[
                ("grpc.max_send_message_length", MAX_GRPC_MESSAGE_LENGTH),
                ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_LENGTH),
                ("grpc.so_reuseport", 0),
            ],
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise EndpointError(f"cannot listen on {self._address}: {error}") from None
        await self._server.start()


class Server(ModelServer):
    """KServe's model server on ports of our choice; `start` returns after SIGTERM or SIGINT, with nothing left open."""

    def __init__(self, listener: socket, grpc_address: str | None) -> None:
        super().__init__(enable_grpc=grpc_address is not None, grace_period=GRACE_SECONDS)
        self.dataplane = BundleDataPlane(self.registered_models)
        self._listener = listener
        self._grpc_address = grpc_address

    def start(self, models: Sequence[BundleModel]) -> None:
        for model in models:
            self.register_model(model)
        named = ", ".join(show_version(model) for model in models if isinstance(model, ColumnsModel))
        line = f"serving {named} on http://{show(*self._listener.getsockname()[:2])}"
        self._rest_server = RestServer(self.dataplane, self.model_repository_extension, line)
        self.register_signal_handler()
        asyncio.run(self._serve())

    def stop(self, sig: int) -> None:
        """What the SDK's signal handlers call."""
        self._rest_server.leave()

    async def _serve(self) -> None:
        if self._grpc_address is not None:
            self._grpc_server = GrpcServer(self._grpc_address, self.dataplane, self.model_repository_extension)
            await self._grpc_server.start()
        try:
            await self._rest_server.start(self._listener)
        except OSError as error:
            raise EndpointError(
                f"cannot listen on {show(*self._listener.getsockname()[:2])}: {error.strerror}"
            ) from None
        finally:
            if self._grpc_server is not None:
                await self._grpc_server.stop()


def show_version(model: BundleModel) -> str:
    """`flight-delay@3`; the bare name where the registry has not given a version."""
    return f"{model.name}@{model.version}" if model.version else str(model.name)


def load_models(bundles: Sequence[Path], features_of: FeaturesOf | None) -> list[BundleModel]:
    """Both models of each bundle, ready.

    Args:
        bundles: bundle folders.
        features_of: where bundles look features up; None: nowhere.

    Raises:
        BundleError: a bundle is damaged, does not fit its features, or needs features where there are none.
        EndpointError: two bundles answer to one name, or a feature store cannot be read.
    """
    models: list[BundleModel] = []
    for folder in bundles:
        session = ScoringSession.open(folder)
        needed = any(item.source == "feature" for item in session.bundle.signature.inputs)
        features = features_of(session.bundle.dataset) if features_of and needed else None
        models += [ColumnsModel(session, features), VectorModel(session)]
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise EndpointError(f"each bundle must have a model name of its own, but two answer to {twice!r}")
    for model in models:
        try:
            model.load()
        except FeaturesUnavailable as error:
            raise EndpointError(str(error)) from None
    return models


def run(bundles: Sequence[Path], listener: socket, grpc_address: str | None, features_of: FeaturesOf | None) -> None:
    """Serve bundles until SIGTERM or SIGINT.

    Raises:
        FairleadError: nothing was served; the message says why.
    """
    logging.config.dictConfig(LOGGING)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # the SDK's endpoints use it
    models = load_models(bundles, features_of)
    Server(listener, grpc_address).start(models)
