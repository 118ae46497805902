"""The server's log on stderr: lines for people, or JSON with the field names of Elastic's Common Schema (ECS) 8.11.

No line holds a value of a column, nor the reason of a refusal, which may quote one.
"""

import logging
import logging.config
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from serving.sdk import InvalidInput, ModelNotFound

Format = Literal["line", "json"]
Access = Literal["all", "errors", "none"]

ECS_VERSION = "8.11.0"
FROM_LIBRARIES = ("kserve", "kserve.trace", "uvicorn", "grpc")
SERVER_ERROR = 500

access_log = logging.getLogger("fairlead.access")
Event = MutableMapping[str, Any]


class Mistakes(logging.Filter):
    """Keeps what clients did wrong out of the log: they are told in the response."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, (InvalidInput, ModelNotFound))


def configure(form: Format, access: Access) -> None:
    """Set up logging for the process."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
                "json": {"()": structlog.stdlib.ProcessorFormatter, "processors": _PROCESSORS},
            },
            "filters": {"mistakes": {"()": Mistakes}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form, "filters": ["mistakes"]}},
            "loggers": {
                **{name: {"handlers": ["stderr"], "level": "WARNING", "propagate": False} for name in FROM_LIBRARIES},
                access_log.name: {"handlers": ["stderr"], "level": _LEVELS[access], "propagate": False},
            },
        }
    )


_LEVELS = {"all": "INFO", "errors": "ERROR", "none": "CRITICAL"}


def log_answer(model: str, version: str, protocol: str, status: int, seconds: float, request_id: str | None) -> None:
    """One line about one answer: an error if it is the server's fault."""
    level = logging.ERROR if status >= SERVER_ERROR else logging.INFO
    if not access_log.isEnabledFor(level):
        return
    fields = {
        "http.response.status_code": status,
        "http.request.id": request_id,
        "event.duration": int(seconds * 1e9),
        "network.protocol.name": protocol,
        "labels": {"model": model, "version": version},
    }
    text = "%s@%s %s %d %.1f ms %s"
    access_log.log(
        level, text, model, version, protocol, status, seconds * 1e3, request_id or "-", extra={"ecs": fields}
    )


def _to_ecs(logger: Any, name: str, event: Event) -> Event:
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog", None)
    found: Event = {
        "@timestamp": event.pop("timestamp"),
        "log.level": record.levelname.lower(),
        "message": event.pop("event"),
        "ecs.version": ECS_VERSION,
        "log.logger": record.name,
        "service.name": "fairlead-serving",
        "process.pid": record.process,
        **getattr(record, "ecs", {}),
    }
    if record.exc_info and record.exc_info[0]:
        found["error.type"] = record.exc_info[0].__name__
        found["error.message"] = str(record.exc_info[1])
        found["error.stack_trace"] = event.pop("exception", None)
    return {key: value for key, value in found.items() if value is not None}


_PROCESSORS: list[Any] = [
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _to_ecs,
    structlog.processors.JSONRenderer(),
]
