"""The two names that answer for a bundle: `<model>` takes columns, `<model>-vector` takes the finished matrix."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.errors import BundleError, SpoolFullError
from fairlead.packaging.session import INPUT, OUTPUT, ScoringSession
from fairlead.packaging.signature import Matrix
from fairlead.ports import OnlineReader
from serving.columns import TEXT, check_names, read_asked_at, request_columns, show
from serving.exchange import Exchange, current
from serving.ids import new_id
from serving.lookup import Lookup
from serving.names import VECTOR
from serving.recording import RequestRecorder
from serving.sdk import InferRequest, InferResponse, InvalidInput, Model, to_http_parameters
from serving.tensors import by_name, numbers, read_columns, read_matrix, respond
from serving.unavailable import Unavailable

V1_KEYS = ("instances", "parameters")


@dataclass(frozen=True)
class Asked:
    """A request that has been understood."""

    matrix: Matrix
    request: InferRequest | None
    """None: it came over v1."""


@dataclass(frozen=True)
class Answered:
    """A request and its probabilities, shape [n, 2]."""

    probabilities: Matrix
    request: InferRequest | None


class BundleModel(Model):
    """A bundle under one name. Reading, looking up and scoring run in threads: the event loop never waits for them."""

    output_names: tuple[str, ...]
    """The output tensors, in the order of an answer."""

    def __init__(self, name: str, session: ScoringSession) -> None:
        super().__init__(name)
        self.session = session
        self.version = session.bundle.version
        self.all_as_json = [(name, False) for name in self.output_names]
        """What a caller gets that asks for nothing in particular: output, and whether as bytes."""
        self.records: RequestRecorder | None = None
        """Keeps a record of each answer; None: none is kept."""

    @abstractmethod
    def warm_up(self) -> None:
        """Answer one row of which nothing is known."""

    @abstractmethod
    def read(self, request: InferRequest) -> Matrix:
        """The matrix of a v2 request."""

    @abstractmethod
    def read_v1(self, instances: list[Any], parameters: Mapping[str, Any]) -> Matrix:
        """The matrix of a v1 request."""

    @abstractmethod
    def outputs(self, probabilities: Matrix) -> dict[str, npt.NDArray[Any]]:
        """The output tensors."""

    @abstractmethod
    def predictions(self, probabilities: Matrix) -> list[Any]:
        """The predictions of a v1 response."""

    def load(self) -> bool:
        """Become ready, by answering once.

        Raises:
            BundleError: the bundle and its feature service do not fit together.
            FeaturesUnavailable: the feature store cannot be read.
        """
        self.warm_up()
        self.ready = True
        return self.ready

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Asked:
        if (exchange := current.get()) is not None:
            exchange.model = self
            exchange.id = payload.id if isinstance(payload, InferRequest) else None
        return await asyncio.to_thread(self._understand, payload)

    async def predict(
        self, payload: Asked, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> Answered:
        probabilities = await asyncio.to_thread(self.session.probabilities, payload.matrix)
        if (exchange := current.get()) is not None:
            exchange.rows = len(probabilities)
            self._record(exchange, payload.matrix, probabilities)
        return Answered(probabilities, payload.request)

    async def postprocess(
        self, result: Answered, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        if result.request is None:
            return {"predictions": self.predictions(result.probabilities)}
        return respond(result.request, self.outputs(result.probabilities), self.name, self.version)

    def _record(self, exchange: Exchange, matrix: Matrix, probabilities: Matrix) -> None:
        if self.records is None:
            return
        try:
            self.records.answered(
                exchange.columns, matrix, probabilities, None, exchange.id or new_id(), exchange.started,
                asked_at=exchange.asked_at, mirrored=exchange.mirrored,
            )  # fmt: skip
        except SpoolFullError as error:
            raise Unavailable(f"{self.name} must not answer without a record: {error}") from None

    def _understand(self, payload: Any) -> Asked:
        if not isinstance(payload, InferRequest):
            instances, parameters = _v1_parts(payload)
            return Asked(self.read_v1(instances, parameters), None)
        if payload.id and not TEXT.accepts(payload.id):
            raise InvalidInput(f"the request's id must be text, but is {show(payload.id)}")
        if payload.model_version and payload.model_version != self.version:
            raise InvalidInput(f"model {self.name!r} is here in version {self.version}, not {payload.model_version!r}")
        return Asked(self.read(payload), payload)


class ColumnsModel(BundleModel):
    """Takes the columns a caller knows, and looks the rest up: `score` FP32 [n], `decision` BOOL [n]."""

    output_names = ("score", "decision")

    def __init__(self, session: ScoringSession, reader: OnlineReader | None) -> None:
        """Put a bundle under its model's name.

        Args:
            session: the bundle, opened.
            reader: reads the signature's looked-up inputs, in their order; None if there are none.

        Raises:
            BundleError: the bundle needs features, but there is no store; or it takes no column at all.
        """
        super().__init__(session.bundle.model, session)
        self.columns = request_columns(session.bundle.signature)
        self._lookup = Lookup(session.bundle, reader) if session.bundle.signature.looked_up else None
        if not self.columns:
            raise BundleError(f"{self.name}: a model must take at least one column from its caller")

    @property
    def looks_up(self) -> bool:
        """Whether an answer needs a read of the feature store."""
        return self._lookup is not None

    def matrix(self, columns: Mapping[str, Sequence[Any]], asked_at: datetime) -> Matrix:
        """Encode checked request columns together with the features that are looked up for them.

        Raises:
            FeaturesUnavailable: the feature store cannot be read.
        """
        if (exchange := current.get()) is not None:
            exchange.columns = columns
        looked_up = self._lookup.read(columns, asked_at) if self._lookup else None
        return self.session.bundle.signature.matrix(columns, looked_up)

    def _asked_at(self, parameters: Mapping[str, Any]) -> datetime:
        asked_at = read_asked_at(parameters)
        if (exchange := current.get()) is not None:
            exchange.asked_at = asked_at
        return asked_at or datetime.now(UTC)

    def warm_up(self) -> None:
        columns = {name: [None] for name in self.columns}
        looked_up = self._lookup.warm_up(columns) if self._lookup else None
        self.session.scores(self.session.bundle.signature.matrix(columns, looked_up))

    def read(self, request: InferRequest) -> Matrix:
        asked_at = self._asked_at(to_http_parameters(request.parameters or {}))
        tensors = by_name(request)
        check_names(tensors, self.columns, "the request")
        return self.matrix(read_columns(tensors, self.columns), asked_at)

    def read_v1(self, instances: list[Any], parameters: Mapping[str, Any]) -> Matrix:
        asked_at = self._asked_at(parameters)
        for index, instance in enumerate(instances):
            if not isinstance(instance, dict):
                expected = f"an object with {', '.join(self.columns)}"
                raise InvalidInput(f"instances[{index}] must be {expected}, but is {show(instance)}")
            check_names(instance, self.columns, f"instances[{index}]")
        return self.matrix(self.take(instances), asked_at)

    def take(self, instances: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The checked columns of v1 instances, each of which has all of them.

        Raises:
            InvalidInput: names the column and the first value that does not fit.
        """
        columns = {name: [instance[name] for instance in instances] for name in self.columns}
        for name, values in columns.items():
            self.columns[name].check(values)
        return columns

    def outputs(self, probabilities: Matrix) -> dict[str, npt.NDArray[Any]]:
        scores = probabilities[:, 1]
        return {"score": scores, "decision": self.session.decisions(scores)}

    def predictions(self, probabilities: Matrix) -> list[Any]:
        scores = probabilities[:, 1]
        decided = zip(scores.tolist(), self.session.decisions(scores).tolist(), strict=True)
        return [{"score": score, "decision": decision} for score, decision in decided]

    def get_input_types(self) -> list[dict[str, Any]]:
        columns = self.columns.values()
        return [{"name": item.name, "datatype": item.datatypes[0], "shape": [-1]} for item in columns]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "decision", "datatype": "BOOL", "shape": [-1]},
        ]


class VectorModel(BundleModel):
    """Takes the finished matrix, one tensor `features` FP32 [n, d], as Triton would: `probabilities` FP32 [n, 2]."""

    output_names = (OUTPUT,)

    def __init__(self, session: ScoringSession) -> None:
        super().__init__(f"{session.bundle.model}{VECTOR}", session)
        self.width = len(session.bundle.signature.inputs)

    def warm_up(self) -> None:
        signature = self.session.bundle.signature
        self.session.probabilities(signature.matrix({name: [None] for name in signature.names}))

    def read(self, request: InferRequest) -> Matrix:
        tensors = by_name(request)
        if list(tensors) != [INPUT]:
            raise InvalidInput(f"the request must hold the one tensor {INPUT!r}, but holds {show(list(tensors))}")
        return read_matrix(tensors[INPUT], self.width)

    def read_v1(self, instances: list[Any], parameters: Mapping[str, Any]) -> Matrix:
        for index, instance in enumerate(instances):
            if not isinstance(instance, list) or len(instance) != self.width:
                raise InvalidInput(
                    f"instances[{index}] must be a list of {self.width} numbers, but is {show(instance)}"
                )
        array = np.array(instances, dtype=object)
        if array.ndim != 2:
            raise InvalidInput(f"instances must be lists of {self.width} numbers, but are nested more deeply")
        return numbers(array, "instances")

    def outputs(self, probabilities: Matrix) -> dict[str, npt.NDArray[Any]]:
        return {OUTPUT: probabilities}

    def predictions(self, probabilities: Matrix) -> list[Any]:
        rows: list[Any] = probabilities.tolist()
        return rows

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": INPUT, "datatype": "FP32", "shape": [-1, self.width]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, 2]}]


def _v1_parts(payload: Any) -> tuple[list[Any], Mapping[str, Any]]:
    """Instances and parameters of a v1 body."""
    if not isinstance(payload, dict):
        raise InvalidInput(f"the body must be an object with 'instances', but is {show(payload)}")
    unknown = next((key for key in payload if key not in V1_KEYS), None)
    if unknown is not None:
        raise InvalidInput(f"the body must hold {' and '.join(V1_KEYS)}, but holds {show(unknown)}")
    instances, parameters = payload.get("instances"), payload.get("parameters") or {}
    if not isinstance(instances, list) or not instances:
        raise InvalidInput(f"'instances' must be a list of at least one, but is {show(instances)}")
    if not isinstance(parameters, dict):
        raise InvalidInput(f"'parameters' must be an object, but is {show(parameters)}")
    return instances, parameters
