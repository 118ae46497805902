"""`python -m serving`: serve bundles with KServe's model server."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from fairlead.errors import FairleadError
from fairlead.lineage.steps import end_with_runner
from fairlead.listening import check_free, listen, read_port, show
from serving.workers import CONTROL, Supervisor

EXIT_NOT_SERVED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes. 0: was told to leave; 2: could not serve, and one line on stderr says why."""
    options = _parser().parse_args(arguments)
    end_with_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # until the server has handlers of its own
    try:
        if options.workers > 1 and CONTROL not in os.environ:
            return _supervise(options)
        _serve(options)
    except FairleadError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_NOT_SERVED
    return 0


def _serve(options: argparse.Namespace) -> None:
    shared = CONTROL in os.environ
    listener = listen(options.host, options.http_port, shared=shared)
    if options.grpc_port and not shared:
        check_free(options.host, options.grpc_port)
    from serving.front import Limits
    from serving.lookup import open_reader
    from serving.server import Options, run
    from serving.sources import source

    limits = Limits(
        body_bytes=int(options.max_body_mb * 2**20),
        concurrency=options.max_concurrency,
        request_seconds=options.request_seconds,
        keep_alive_seconds=options.keep_alive_seconds,
    )
    grpc_address = show(options.host, options.grpc_port) if options.grpc_port else None
    run(
        [source(uri) for uri in options.bundle],
        Options(listener, grpc_address, limits, shared, options.log_format, options.access_log, options.drain_seconds),
        reader_of=open_reader if options.feature_store == "feast" else None,
        versions=options.versions,
    )


def _supervise(options: argparse.Namespace) -> int:
    """Take the ports for all workers, which then share them."""
    for port in filter(None, (options.http_port, options.grpc_port)):
        check_free(options.host, port)
    with listen(options.host, options.http_port, shared=True) as taken:
        options.http_port = taken.getsockname()[1]
        command = [sys.executable, *_isolated(), "-m", "serving", *_words(options)]
        return asyncio.run(Supervisor(command, options.workers).run())


def _isolated() -> list[str]:
    return ["-P"] if sys.flags.safe_path else []


def _words(options: argparse.Namespace) -> list[str]:
    """The options as they would be typed."""
    words = []
    for name, value in vars(options).items():
        for item in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(item)]
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m serving", description="Serve bundles with KServe's model server.")
    add = parser.add_argument
    add(
        "--bundle", action="append", required=True, metavar="URI",
        help="a bundle's folder, or one with versions, or one with models and their versions; file:// or s3:// or a "
        "path; may repeat",
    )  # fmt: skip
    add("--versions", choices=["latest", "all"], default="latest", help="of a folder with several")
    add("--host", default="127.0.0.1", help="where to listen; this machine only, unless told otherwise")
    add("--http-port", type=read_port, default=8080, help="v1 and v2 over HTTP; 0 takes a free port")
    add("--grpc-port", type=read_port, default=8081, help="v2 over gRPC; 0 turns it off")
    add(
        "--feature-store", choices=["feast", "none"], default="feast",
        help="where features are looked up; `feast` reads FAIRLEAD_… from the environment if a bundle needs it",
    )  # fmt: skip
    add("--workers", type=_positive(int), default=1, help="processes that share the ports")
    add("--max-body-mb", type=_positive(float), default=16.0, help="a larger request is a 413")
    add(
        "--max-concurrency", type=_positive(int), default=256,
        help="requests that may wait in one worker; more are a 503 with Retry-After",
    )  # fmt: skip
    add("--request-seconds", type=_positive(float), default=20.0, help="how long a client may take to send a request")
    add("--keep-alive-seconds", type=_positive(float), default=65.0, help="how long a connection may be idle")
    add("--log-format", choices=["line", "json"], default="line", help="json: with the field names of ECS")
    add("--access-log", choices=["all", "errors", "none"], default="errors", help="which answers get a line")
    add(
        "--drain-seconds", type=float, default=0.0,
        help="how long requests are still taken after SIGTERM, while readiness already says no",
    )  # fmt: skip
    return parser


def _positive(kind: type) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"must be above 0, but is {text}")
        return float(value) if kind is float else int(value)

    read.__name__ = kind.__name__  # argparse names it in its message
    return read


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
