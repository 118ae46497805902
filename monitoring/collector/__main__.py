"""`python -m monitoring.collector`: receive records until a signal comes."""

import argparse
import signal
import sys
from collections.abc import Sequence
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

        limits = Limits(body_bytes=options.body_bytes, waiting_rows=options.waiting_rows)
        run(options.tables_uri, limits, listener)
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
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
