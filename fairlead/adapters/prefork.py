"""A Python for the steps of local runs: each a process of its own, a copy of one that has imported their libraries.

KFP's local runner starts an interpreter for every step, and each imports what the one before has imported already:
Great Expectations, Feast, scikit-learn and MLflow, 20 seconds in a run of eight steps. Here one process imports them
while the first steps run. Whoever calls the program that `preforked` makes is given a copy of it.

Only libraries without threads of their own are imported before the fork: what forks must have one thread. OpenBLAS and
jemalloc start theirs anew in a copy (pthread_atfork); DuckDB, ONNX Runtime and delta-rs are left to the steps.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fairlead.adapters import prefork_call
from fairlead.adapters.feast_import import import_feast

FIRST = ("kfp.dsl.executor", "pandas", "pyarrow.dataset", "ibis")
"""Before any step is asked for: what they all need."""
THEN = (
    "fairlead.adapters.great_expectations",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "feast",
    "optuna",
    "skl2onnx",
    "mlflow",
    "mlflow.onnx",
    "mlflow.store.tracking.sqlalchemy_store",
    "altair",
)
"""While steps run, in the order in which they need them. A run whose steps are all reused imports none."""
SOCKET_BYTES = 107
"""Of a socket's address, at most (unix(7))."""
LOOK_SECONDS = 0.5
"""How often it is asked whether the runner is still there."""


@dataclass(frozen=True)
class Call:
    """What a caller wants to be run, as it would run it."""

    module: str
    arguments: Sequence[str]
    folder: str
    environ: Mapping[str, str]


@contextlib.contextmanager
def preforked() -> Iterator[str]:
    """The path of a program that is called like `python3`, for as long as the block runs.

    Where that cannot be it is this interpreter: macOS's own libraries break in a copy of a process, and the folder for
    temporary files may have too long a name for a socket, or hold no programs (`noexec`).
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-") as folder:
        path, program = Path(folder, "socket"), Path(folder, "python3")
        words = [sys.executable, "-I", "-S", prefork_call.__file__, str(path), sys.executable]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        program.chmod(0o700)
        if sys.platform != "linux" or len(os.fsencode(path)) > SOCKET_BYTES or not os.access(program, os.X_OK):
            yield sys.executable
            return
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            server = _start(listener, folder)
        try:
            yield str(program)
        finally:
            server.kill()
            server.wait()


def _start(listener: socket.socket, folder: str) -> "subprocess.Popen[bytes]":
    environ = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-u", "-m", __name__, str(listener.fileno()), str(os.getpid()), folder]
    return subprocess.Popen(
        command,
        env=environ,
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def serve(listener: socket.socket, runner: int) -> Call | None:
    """Import and fork until the runner is gone.

    Returns:
        In a copy, what it must run; in the process itself nothing, at the end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the steps; the runner ends this one
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    waiting, called = list(FIRST), False
    while os.getppid() == runner:
        if select.select([listener], [], [], 0 if waiting else LOOK_SECONDS)[0]:
            call = _answer(listener)
            if call is not None:
                return call
            if not called:
                waiting, called = [*waiting, *THEN], True
        elif waiting:
            _import(waiting.pop(0))
    return None


def _import(name: str) -> None:
    # What cannot be imported is told by the step that needs it.
    with contextlib.suppress(ImportError):
        if name == "feast":
            import_feast()
        else:
            importlib.import_module(name)
    gc.freeze()  # a copy shares the pages that no collection touches


def _answer(listener: socket.socket) -> Call | None:
    caller, _ = listener.accept()
    if os.fork():
        caller.close()
        return None
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    call, files = _read(caller)
    step = os.fork()
    if step:
        _wait(step, caller)
    caller.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return call


def _read(caller: socket.socket) -> tuple[Call, list[int]]:
    size, files, _, _ = socket.recv_fds(caller, prefork_call.SIZE_BYTES, 3)
    with caller.makefile("rb") as stream:
        return Call(**json.loads(stream.read(int.from_bytes(size, "big")))), files


def _wait(step: int, caller: socket.socket) -> NoReturn:
    """Tell the caller that its step runs, and how it ended; a step whose caller is gone ends."""
    _tell(caller, 0)
    ended = os.pidfd_open(step)
    if ended not in select.select([ended, caller.fileno()], [], [])[0]:
        os.kill(step, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(step, 0)[1])
    _tell(caller, code if code >= 0 else 128 - code)
    os._exit(0)


def _tell(caller: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody is there to hear it
        caller.sendall(bytes([number]))


def _become(call: Call) -> NoReturn:
    """Be what the caller would have started."""
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environ)
    sys.argv = [call.module, *call.arguments]
    sys.path[0] = call.folder
    code: object = 0
    try:
        runpy.run_module(call.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - as an interpreter does
        sys.excepthook(type(error), error, error.__traceback__)
        code = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    _end(code)


def _end(code: object) -> NoReturn:
    """End as an interpreter does, but for the objects of libraries: to free them takes 0.3 s, for all is copied first.

    multiprocessing ends its copies in the same way.
    """
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    wanted = serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    if wanted is not None:
        _become(wanted)
    else:  # the runner was killed, and cannot do it
        shutil.rmtree(sys.argv[3], ignore_errors=True)
