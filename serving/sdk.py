"""KServe's SDK, imported so that it does not read this process's arguments and brings no Kubernetes client.

`kserve.model_server` parses `sys.argv` when it is imported, and ends the process over a flag that resembles one of its
own. `kserve/__init__.py` imports clients that a server has no use for: a second and 40 MB. So whoever needs the SDK
takes it from here, and the package's own `__init__` never runs.
"""

import sys
from importlib.util import find_spec, module_from_spec

_package = find_spec("kserve")
if _package is not None and "kserve" not in sys.modules:
    sys.modules["kserve"] = module_from_spec(_package)
_arguments, sys.argv = sys.argv, sys.argv[:1]
try:
    from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, MAX_GRPC_MESSAGE_LENGTH
    from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ServerNotReady
    from kserve.model import Model
    from kserve.model_repository import ModelRepository
    from kserve.model_server import ModelServer
    from kserve.protocol.dataplane import DataPlane
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
    from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
    from kserve.protocol.grpc.server import GRPCServer
    from kserve.protocol.grpc.servicer import InferenceServicer
    from kserve.protocol.infer_type import (
        InferInput,
        InferOutput,
        InferRequest,
        InferResponse,
        RequestedOutput,
        to_http_parameters,
    )
    from kserve.protocol.model_repository_extension import ModelRepositoryExtension
    from kserve.protocol.rest.server import RESTServer
    from kserve.protocol.rest.v2_datamodels import InferenceRequest, RequestInput
finally:
    sys.argv = _arguments

__all__ = [
    "INFERENCE_CONTENT_LENGTH_HEADER",
    "MAX_GRPC_MESSAGE_LENGTH",
    "DataPlane",
    "ExceptionToStatusInterceptor",
    "GRPCServer",
    "InferInput",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "InferenceError",
    "InferenceRequest",
    "InferenceServicer",
    "InvalidInput",
    "Model",
    "ModelNotFound",
    "ModelRepository",
    "ModelRepositoryExtension",
    "ModelServer",
    "RESTServer",
    "RequestInput",
    "RequestedOutput",
    "ServerNotReady",
    "grpc_predict_v2_pb2_grpc",
    "to_http_parameters",
]
