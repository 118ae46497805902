"""The interpreter of local steps: what it runs cannot tell that it is a copy, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from fairlead.adapters import prefork
from fairlead.adapters.prefork import preforked
from tests.local.test_workers import wait_for

LIMIT_SECONDS = 60


@pytest.fixture(params=["plain", "preforked"], scope="module")
def python(request):
    if request.param == "plain":
        yield sys.executable
    else:
        with preforked() as program:
            yield program


@pytest.fixture
def call(python, tmp_path):
    """Run a module of the given text, as KFP runs its executor."""

    def run(text: str, *arguments: str, **options) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "step.py").write_text(textwrap.dedent(text))
        command = [python, "-m", "step", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_SECONDS, **options)

    return run


def test_a_step_has_its_arguments_its_environment_and_its_folder(call, tmp_path):
    text = "import os, sys; print(sys.argv[1:], os.environ.get('ONE'), 'HOME' in os.environ, os.getcwd(), __name__)"
    done = call(text, "a b", "--c=ü", env={"ONE": "1"})
    assert done.stdout == f"['a b', '--c=ü'] 1 False {tmp_path} __main__\n", done.stderr


def test_a_step_reads_and_writes_where_its_caller_does(call):
    done = call("import sys; print(input()); print('wrong', file=sys.stderr)", input="hello\n")
    assert (done.stdout, done.stderr) == ("hello\n", "wrong\n")


def test_what_a_step_prints_comes_at_once(python, tmp_path):
    (tmp_path / "step.py").write_text("print('begun', flush=True); input()")
    command = [python, "-m", "step"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.communicate("\n", timeout=LIMIT_SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [("import sys; sys.exit(3)", 3), ("raise ValueError('no')", 1), ("import sys; sys.exit('no')", 1), ("", 0)],
)
def test_the_exit_code_is_the_steps(call, text, code):
    assert call(text).returncode == code


def test_an_error_is_told_with_its_traceback(call):
    done = call("raise ValueError('no')")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: no\n")


def test_a_step_that_is_killed_has_failed(call):
    assert call("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").returncode in (-9, 137)


def test_what_libraries_do_at_exit_is_done(call):
    assert call("import atexit; atexit.register(print, 'bye')").stdout == "bye\n"


def test_a_step_ends_when_its_threads_have(call):
    text = """
        import threading, time
        from concurrent.futures import ThreadPoolExecutor
        ThreadPoolExecutor(1).submit(time.sleep, 0)
        threading.Timer(0.3, print, ["late"]).start()
    """
    assert call(text).stdout == "late\n"


def test_a_step_is_interrupted_as_any_other(call):
    done = call("import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(60)")
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode != 0


def test_steps_run_beside_each_other(python, tmp_path):
    (tmp_path / "step.py").write_text("print(input())")
    options = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([python, "-m", "step"], **options) for _ in range(2)]
    answers = [process.communicate(str(number), timeout=LIMIT_SECONDS)[0] for number, process in enumerate(both)]
    assert answers == ["0\n", "1\n"]


def test_what_is_no_module_is_run_too(python):
    done = subprocess.run([python, "-c", "print(1)"], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_module_that_nobody_has_is_an_error(python):
    done = subprocess.run([python, "-m", "no_such_module"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no_such_module" in done.stderr


@pytest.fixture
def servers(monkeypatch):
    """The processes that copy themselves."""
    found, start = [], prefork._start

    def started(*arguments):
        found.append(start(*arguments))
        return found[-1]

    monkeypatch.setattr(prefork, "_start", started)
    return found


def _imported(program: str, folder: Path) -> set[str]:
    (folder / "step.py").write_text("import sys; print(*sys.modules)")
    command = [program, "-m", "step"]
    return set(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split())


def test_libraries_are_there_before_a_step_asks_for_them(tmp_path):
    with preforked() as program:
        wait_for(lambda: {"kfp", "pandas", "great_expectations", "mlflow", "feast"} <= _imported(program, tmp_path))


def test_nothing_but_what_all_need_is_imported_before_a_step_is_asked_for(servers, tmp_path):
    with preforked() as program:
        wait_for(lambda: _threads(servers[0].pid) > 1)  # of pandas
        time.sleep(1)
        assert "great_expectations" not in _imported(program, tmp_path)


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_step_runs_although_the_process_to_copy_has_ended(servers, tmp_path):
    with preforked() as program:
        servers[0].kill()
        servers[0].wait()
        assert "sys" in _imported(program, tmp_path)


def test_a_step_runs_although_the_process_to_copy_ends_while_it_waits(servers, tmp_path):
    (tmp_path / "step.py").write_text("print(1)")
    with preforked() as program:
        os.kill(servers[0].pid, signal.SIGSTOP)
        caller = subprocess.Popen([program, "-m", "step"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: _sockets(Path(program).with_name("socket")) > 1)  # the one that listens, and the caller's
        servers[0].kill()
        assert caller.communicate(timeout=LIMIT_SECONDS)[0] == "1\n"


def _sockets(path: Path) -> int:
    return Path("/proc/net/unix").read_text().count(str(path))


@pytest.mark.parametrize("why", ["long", "noexec"])
def test_where_no_copy_can_be_had_steps_have_this_interpreter(why, servers, tmp_path, monkeypatch):
    if why == "long":
        folder = tmp_path / ("x" * 100)
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with preforked() as program:
        assert (program, servers) == (sys.executable, [])


def test_nothing_is_left_behind(servers):
    with preforked() as program:
        assert Path(program).exists()
    assert not Path(program).parent.exists()
    assert servers[0].returncode == -signal.SIGKILL


def test_a_step_ends_with_its_caller(tmp_path):
    (tmp_path / "step.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with preforked() as program:
        caller = subprocess.Popen([program, "-m", "step"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        step = int(caller.stdout.readline())
        caller.kill()
        caller.wait()
        wait_for(lambda: not Path(f"/proc/{step}").exists())


def test_when_the_runner_is_killed_nothing_is_left_either(tmp_path):
    text = """
        import time
        from fairlead.adapters import prefork
        start = prefork._start
        def started(*arguments):
            found = start(*arguments)
            print(found.pid, flush=True)
            return found
        prefork._start = started
        with prefork.preforked():
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(text)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE) as runner:
        server = int(runner.stdout.readline())
        runner.kill()
    wait_for(lambda: not Path(f"/proc/{server}").exists())
    assert list(tmp_path.iterdir()) == []
