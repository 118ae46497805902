"""`python -m monitoring.collector`: receive records until a signal comes."""

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType

from fairlead.errors import FairleadError
from fairlead.lineage.steps import end_with_runner
from fairlead.listening import listen, read_port
from monitoring.collector.limits import Limits

EXIT_NOT_RECEIVED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Receive until a signal comes. 0: was told to leave; 2: could not begin, and one line on stderr says why."""
    options = _parser().parse_args(arguments)
    end_with_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # also what uvicorn comes back to when it has finished
    try:
        listener = listen(options.host, options.port)
        from monitoring.collector.server import run

        limits = Limits(
            body_bytes=options.body_bytes,
            waiting_rows=options.waiting_rows,
            payload_bytes=options.payload_bytes,
            payload_patience=timedelta(seconds=options.payload_seconds),
        )
        columns = dict(options.payload_columns)
        run(options.tables_uri, limits, listener, spool=options.spool_folder, columns=columns)
    except FairleadError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_NOT_RECEIVED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m monitoring.collector", description="Receive records of predictions.")
    parser.add_argument("--tables-uri", required=True, help="root of the tables; records go to <root>/records/<model>")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; this machine only, unless told otherwise")
    parser.add_argument("--port", type=read_port, default=8090, help="0 takes a free port")
    parser.add_argument("--body-bytes", type=int, default=Limits.body_bytes, help="largest request; 413 beyond it")
    parser.add_argument("--waiting-rows", type=int, default=Limits.waiting_rows, help="rows in memory; 429 beyond it")
    parser.add_argument(
        "--spool-folder", type=Path, help="where payloads of KServe's logger wait for their other half; without it none"
    )
    parser.add_argument(
        "--payload-columns",
        type=_model_columns,
        action="append",
        default=[],
        metavar="MODEL=COLUMN,...",
        help="columns of such payloads that may be recorded, * for all; repeat for each model; without it none is",
    )
    parser.add_argument("--payload-bytes", type=int, default=Limits.payload_bytes, help="that wait; 429 beyond it")
    parser.add_argument(
        "--payload-seconds",
        type=float,
        default=Limits.payload_patience.total_seconds(),
        help="how long a half waits for the other",
    )
    return parser


def _model_columns(text: str) -> tuple[str, tuple[str, ...]]:
    model, equals, columns = text.partition("=")
    if not (model and equals and columns):
        raise argparse.ArgumentTypeError(f"must be MODEL=COLUMN,COLUMN, but is {text!r}")
    return model, tuple(columns.split(","))


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
