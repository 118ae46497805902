"""KServe's model server over bundles: the SDK's interfaces, with the SDK's gaps closed.

What differs from `kserve.ModelServer`: it listens where it is told, on a port taken beforehand; a client's mistake is
a 400 with one line, never a 500 and never a traceback in the log; model metadata names versions; it ends with 0.
"""

import asyncio
import contextlib
import os
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from socket import socket
from typing import Any

import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc import aio
from prometheus_client import CONTENT_TYPE_LATEST

from fairlead.errors import EndpointError
from fairlead.listening import begin, show
from fairlead.records.recorder import Recorder
from fairlead.settings import record_settings
from serving.binary import BadSchema, explain, is_no_json, read_binary
from serving.control import Control
from serving.exchange import Exchange, Observer, current
from serving.front import Front, Limits
from serving.lane import Route
from serving.logs import Access, Format, configure
from serving.lookup import ReaderOf
from serving.metrics import exposition
from serving.model import BundleModel
from serving.repository import BundleRepository, Extension, Source, Versions, routes, show_bundle
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
    ServerNotReady,
    grpc_predict_v2_pb2_grpc,
)
from serving.tracing import traces_if_asked
from serving.wire import serving_with, sweep
from serving.workers import CONTROL

GRACE_SECONDS = 30
"""How long requests may take to finish after a signal: the grace period of a pod."""
FLUSH_SECONDS = 5
"""How long a server that leaves waits for the collector; what it does not take stays in the spool."""
LIMITS = Limits()
TRITONS_MODEL_NAME = 2
"""Field of its messages for loads and unloads; KServe's have the name in field 1, and no second field."""
PLATFORM = "onnxruntime_onnx"
"""Triton's name for what runs the graph."""


class BundleDataPlane(DataPlane):
    """The SDK's data plane, with readers that answer a client's mistake with 400, and a readiness that means it."""

    leaving = False
    """The server has been told to leave."""

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
        name = model_name.partition("@")[0]
        return {
            **metadata,
            "name": name,
            "platform": PLATFORM,
            "versions": [model.version] if model.version else None,
        }

    async def ready(self) -> bool:
        """Whether all models answer, and the server has not been told to leave."""
        models = self.model_registry.get_models()
        return bool(models) and not self.leaving and all([await model.healthy() for model in models.values()])


@dataclass(frozen=True)
class Options:
    """How a server is to run."""

    listener: socket
    grpc_address: str | None
    limits: Limits = LIMITS
    shared: bool = False
    """Other workers answer on the same ports."""
    log_format: Format = "line"
    access_log: Access = "errors"
    drain_seconds: float = 0.0
    """How long a server that was told to leave still takes requests: a load balancer learns of it late."""


class AnnouncingServer(uvicorn.Server):
    """Says when it answers, and leaves signals to the process: uvicorn would raise them once more."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


class RestServer(RESTServer):
    """v1 and v2 over HTTP. `config.app` is the whole interface, as an ASGI application."""

    def __init__(
        self,
        data_plane: DataPlane,
        repository: BundleRepository,
        extension: Extension | None = None,
        limits: Limits = LIMITS,
        observer: Observer | None = None,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            "", data_plane, extension or Extension(repository), http_port=0, grace_period=GRACE_SECONDS,
            timeout_keep_alive=int(limits.keep_alive_seconds),
        )  # fmt: skip
        self._limits = limits
        self.front = Front(self.create_application(), observer or Observer(), limits)
        repository.on_change = self._take_routes
        self._take_routes(routes(repository.models))
        self.config.app = self.front
        self.config.access_log = False
        self._server = AnnouncingServer(self.config, announce)

    def create_application(self) -> FastAPI:
        """The SDK's endpoints in an application of our own: its own one is shared by all servers of a process."""
        app = FastAPI(title="Fairlead", docs_url=None, redoc_url=None)
        app.add_api_route("/metrics", tell_metrics, methods=["GET"])  # before the SDK's, which knows one process
        self._register_endpoints(app)
        self._add_exception_handlers(app)
        app.add_exception_handler(RequestValidationError, refuse)
        app.add_exception_handler(BadSchema, refuse_schema)
        return app

    async def start(self, listener: socket) -> None:
        """Answer on a taken port until told to leave.

        Raises:
            EndpointError: it was taken meanwhile.
        """
        begin(listener)
        loop = asyncio.get_running_loop()
        self.config.http = serving_with(self.front, self._limits, loop)
        sweeper = loop.create_task(sweep(self._server.server_state.connections, self.front.observer))
        try:
            await self._server.serve(sockets=[listener])
        finally:
            sweeper.cancel()

    def leave(self) -> None:
        """Finish the requests at hand and return from `start`."""
        self._server.should_exit = True

    def give_up(self) -> None:
        """Return from `start` at once."""
        self._server.force_exit = True

    def _take_routes(self, found: Mapping[str, Route]) -> None:
        self.front.routes = dict(found)


async def tell_metrics(request: Request) -> Response:
    """What Prometheus scrapes."""
    return Response(exposition(), media_type=CONTENT_TYPE_LATEST)


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """A body that is no v2 request: 400 if it is no JSON at all, else 422 as the SDK has it, in one line."""
    assert isinstance(error, RequestValidationError)
    problems = list(error.errors())
    return JSONResponse({"error": explain(problems)}, status_code=400 if is_no_json(problems) else 422)


async def refuse_schema(request: Request, error: Exception) -> JSONResponse:
    """The same for a body that came as bytes."""
    return JSONResponse({"error": str(error)}, status_code=422)


class Servicer(InferenceServicer):
    """The SDK's, with versions: `model_version` asks for that one, as in the paths over HTTP."""

    def __init__(self, data_plane: DataPlane, repository: ModelRepositoryExtension, observer: Observer) -> None:
        super().__init__(data_plane, repository)
        self._observer = observer

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await super().ModelReady(_with_version(request, "name", "version"), context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        plain = request.name
        response = await super().ModelMetadata(_with_version(request, "name", "version"), context)
        response.name = plain
        model = self._data_plane.get_model_from_registry(request.name)
        response.versions.extend([model.version] if model.version else [])
        return response

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await super().RepositoryModelLoad(_with_tritons_name(request), context)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await super().RepositoryModelUnload(_with_tritons_name(request), context)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        exchange, status, reason = Exchange(mirrored=False, started=time.perf_counter()), 500, ""
        token = current.set(exchange)
        try:
            response = await super().ModelInfer(_with_version(request, "model_name", "model_version"), context)
            status = 200
        except (InvalidInput, ModelNotFound, ServerNotReady) as error:
            status, reason = _http_status(error), str(error)
            raise
        finally:
            current.reset(token)
            self._observer.asked_sdk(exchange, "grpc", status, reason)
        return response


def _http_status(error: Exception) -> int:
    if isinstance(error, InvalidInput):
        return 400
    return 404 if isinstance(error, ModelNotFound) else 503


def _with_version(request: Any, name: str, version: str) -> Any:
    if getattr(request, version) and "@" not in getattr(request, name):
        setattr(request, name, f"{getattr(request, name)}@{getattr(request, version)}")
    return request


def _with_tritons_name(request: Any) -> Any:
    """A load or unload with the model's name, also from Triton's clients: their field 1 is a repository's name."""
    for item in UnknownFieldSet(request):
        if item.field_number == TRITONS_MODEL_NAME and isinstance(item.data, bytes):
            request.model_name = item.data.decode(errors="replace")
    return request


class GrpcServer(GRPCServer):
    """v2 over gRPC, on one address and never on a port that another process has."""

    def __init__(
        self, options: Options, data_plane: DataPlane, repository: ModelRepositoryExtension, observer: Observer
    ) -> None:
        super().__init__(0, data_plane, repository, kwargs={}, grace_period=GRACE_SECONDS)
        assert options.grpc_address is not None
        self._address = options.grpc_address
        self._shared = options.shared
        self._observer = observer

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
                ("grpc.so_reuseport", int(self._shared)),
            ],
        )
        servicer = Servicer(self._data_plane, self._model_repository_extension, self._observer)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise EndpointError(f"cannot listen on {self._address}: {error}") from None
        await self._server.start()


class Server(ModelServer):
    """KServe's model server on ports of our choice; `start` returns after SIGTERM or SIGINT, with nothing left open."""

    def __init__(self, options: Options, repository: BundleRepository, observer: Observer) -> None:
        super().__init__(
            registered_models=repository, enable_grpc=options.grpc_address is not None, grace_period=GRACE_SECONDS
        )
        self.dataplane = BundleDataPlane(self.registered_models)
        self._extension = Extension(repository)
        self._repository = repository
        self._options = options
        self._rest_server = RestServer(
            self.dataplane, repository, self._extension, options.limits, observer, lambda: self._answers.set()
        )

    def start(self, models: Sequence[BundleModel] = ()) -> None:
        """Serve the repository's models; the SDK's argument means nothing here."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    def stop(self, sig: int) -> None:
        """What a signal does: the first one begins the end, the second one ends it."""
        if self.dataplane.leaving:
            self._rest_server.give_up()
        self.dataplane.leaving = True
        asyncio.get_running_loop().call_later(self._options.drain_seconds, self._rest_server.leave)

    async def _serve(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop, number)
        self._answers = asyncio.Event()
        control = await Control.open(self._extension) if CONTROL in os.environ else None
        announcing = asyncio.create_task(self._announce(control))
        if self._options.grpc_address is not None:
            observer = self._rest_server.front.observer
            self._grpc_server = GrpcServer(self._options, self.dataplane, self._extension, observer)
            await self._grpc_server.start()
        try:
            await self._rest_server.start(self._options.listener)
        finally:
            announcing.cancel()
            if self._grpc_server is not None:
                await self._grpc_server.stop()

    async def _announce(self, control: Control | None) -> None:
        """Say what is served once it is: to people, or to the supervisor, from whom orders come then."""
        await self._answers.wait()
        names = {show_bundle(model.session.bundle): None for model in self._repository.models.values()}
        line = f"serving {', '.join(names)} on http://{show(*self._options.listener.getsockname()[:2])}"
        if control is not None:
            await control.ready(line)
            return self.stop(signal.SIGTERM)  # the supervisor is gone
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
        return None


def run(sources: Sequence[Source], options: Options, reader_of: ReaderOf | None, versions: Versions) -> None:
    """Serve bundles until SIGTERM or SIGINT.

    Raises:
        FairleadError: nothing was served; the message says why.
    """
    configure(options.log_format, options.access_log)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # the SDK's endpoints use it
    np.seterr(over="ignore")  # a number beyond FP32 becomes infinite, and is refused as such
    recorder, traces = Recorder.open(record_settings()), traces_if_asked()
    try:
        repository = BundleRepository(sources, reader_of, versions, recorder)
        repository.open_all()
        Server(options, repository, Observer(recorder, traces)).start()
    finally:
        if recorder is not None:
            recorder.close(FLUSH_SECONDS)
        if traces is not None:
            traces.close()
