"""`python -m serving`: serve bundles with KServe's model server."""

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from fairlead.errors import FairleadError
from fairlead.lineage.steps import end_with_runner
from serving.listening import check_free, listen, show

if TYPE_CHECKING:
    from serving.model import OnlineFeatures

EXIT_NOT_SERVED = 2
LARGEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes. 0: was told to leave; 2: could not serve, and one line on stderr says why."""
    options = _parser().parse_args(arguments)
    end_with_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # until the server has handlers of its own
    try:
        listener = listen(options.host, options.http_port)
        if options.grpc_port:
            check_free(options.host, options.grpc_port)
        from serving.repository import Folder
        from serving.server import Options, run

        grpc_address = show(options.host, options.grpc_port) if options.grpc_port else None
        run(
            [Folder(path) for path in options.bundle],
            Options(listener, grpc_address),
            features_of=_feast if options.feature_store == "feast" else None,
            versions="latest",
        )
    except FairleadError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_NOT_SERVED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m serving", description="Serve bundles with KServe's model server.")
    parser.add_argument("--bundle", type=Path, action="append", required=True, help="a bundle's folder; may repeat")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; this machine only, unless told otherwise")
    parser.add_argument("--http-port", type=_port, default=8080, help="v1 and v2 over HTTP; 0 takes a free port")
    parser.add_argument("--grpc-port", type=_port, default=8081, help="v2 over gRPC; 0 turns it off")
    parser.add_argument(
        "--feature-store",
        choices=["feast", "none"],
        default="feast",
        help="where features are looked up; `feast` reads FAIRLEAD_… from the environment if a bundle needs it",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {LARGEST_PORT}, but is {text!r}")
    return int(text)


@cache
def _feast(dataset: str) -> "OnlineFeatures":
    from fairlead.adapters.feast import FeastFeatures
    from fairlead.settings import from_environment

    return FeastFeatures(from_environment(), dataset)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
