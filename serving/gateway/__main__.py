"""`python -m serving.gateway`: route requests to backends of this machine as an HTTPRoute says."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from fairlead.errors import FairleadError
from fairlead.lineage.steps import end_with_runner
from fairlead.listening import listen, read_port

EXIT_NOT_SERVED = 2
MIRROR_LIMIT_BYTES = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Route until a signal comes. 0: was told to leave; 2: could not route, and one line on stderr says why."""
    options = _parser().parse_args(arguments)
    end_with_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # until the gateway has handlers of its own
    try:
        listener, admin = listen(options.host, options.port), listen(options.host, options.admin_port)
        from serving.gateway.server import Options, run

        backends = dict(options.backend)
        run(Options(options.routes, backends, options.timeout, options.mirror_limit, options.seed), listener, admin)
    except FairleadError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_NOT_SERVED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m serving.gateway", description="Route requests to backends of this machine as an HTTPRoute says."
    )
    parser.add_argument("--routes", type=Path, required=True, help="one HTTPRoute in YAML; read anew when it changes")
    parser.add_argument(
        "--backend",
        type=_backend,
        action="append",
        default=[],
        metavar="NAME[:PORT]=URL",
        help="where a Service of the route is; may repeat",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; this machine only, unless told otherwise")
    parser.add_argument("--port", type=read_port, default=8080, help="what is routed; 0 takes a free port")
    parser.add_argument("--admin-port", type=read_port, default=9090, help="/metrics and /healthz; 0 takes a free port")
    parser.add_argument("--timeout", type=_seconds, default=60.0, help="seconds that a backend may be silent")
    parser.add_argument(
        "--mirror-limit", type=int, default=MIRROR_LIMIT_BYTES, help="bytes of a body above which it is not mirrored"
    )
    parser.add_argument("--seed", type=int, help="of the choice by weight, to repeat a run")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, but is {text!r}")
    return seconds


def _backend(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    try:
        parts = urlsplit(url)
        whole = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        whole = False
    if not name or not whole or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise argparse.ArgumentTypeError(f"must be NAME=http://HOST:PORT without a path, but is {text!r}")
    return name, f"http://{parts.netloc}"


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
