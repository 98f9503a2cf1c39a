"""The pool of worker processes: an item that fails does not affect others."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import worker_jobs

from polydiff.domains.molecule.workers import handle
from polydiff.domains.molecule.workers import pool as workers
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.domains.molecule.workers.worker import main as worker_main
from polydiff.support import progress

TESTS = Path(worker_jobs.__file__).parent


def alive(process: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def ends(process: int) -> bool:
    """Return whether a process ends within ten seconds."""
    until = time.monotonic() + 10
    while alive(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(process)


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_order_with_any_number_of_workers(count: int) -> None:
    items = [(i, 0.02 * (i % 3 == 0)) for i in range(20)]
    assert list(in_processes(worker_jobs.late, items, "numbers", workers=count)) == list(range(20))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("hang", "longer than 0.5 s"),
        ("exit", "dies (exit code 3)"),
        ("fault", "dies (SIGSEGV)"),
        ("memory", "4 GiB of memory"),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_affects_its_item_only(word: str, reason: str, count: int) -> None:
    found = list(in_processes(worker_jobs.job, [1, 2, word, 3, word, 4], "items", seconds=0.5, workers=count))
    assert [x for x in found if not isinstance(x, TimedOut)] == [1, 4, 9, 16]
    assert all(isinstance(found[i], TimedOut) and reason in found[i].reason for i in (2, 4))


@pytest.mark.parametrize(
    ("word", "kind", "message"), [("error", ValueError, "a bad item"), ("peculiar", RuntimeError, "of its own kind")]
)
def test_an_exception_is_raised_at_the_turn_of_its_item(word: str, kind: type[Exception], message: str) -> None:
    results = in_processes(worker_jobs.job, [2, word, 3], "items", workers=2)
    assert next(results) == 4
    with pytest.raises(kind, match=message):
        next(results)
    results = list(in_processes(worker_jobs.job, [2, word, 3], "items", workers=2, forgiving=True))
    assert (results[0], results[2]) == (4, 9)
    assert isinstance(results[1], TimedOut)
    assert message in results[1].reason


def test_an_import_error_is_always_raised() -> None:
    with pytest.raises(ImportError, match="no_such_module"):
        list(in_processes(worker_jobs.job, [2, "import"], "items", forgiving=True))


def test_a_function_that_workers_cannot_import_is_an_error() -> None:
    script = "import sys\nfrom polydiff.domains.molecule.workers.pool import in_processes\ndef f(x): return x\n"
    run = subprocess.run(
        [sys.executable, "-c", script + "list(in_processes(f, [1], 'items'))"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "AttributeError" in run.stderr


def test_printed_text_does_not_disturb_answers() -> None:
    assert list(in_processes(worker_jobs.job, ["print", 2], "items", workers=1)) == ["print", 4]


def test_workers_import_no_torch_and_are_reused() -> None:
    ((modules, first),) = [list(in_processes(worker_jobs.job, ["modules", "process"], "items", workers=1))]
    assert not {"torch", "torch_geometric", "pandas"} & set(modules)
    assert list(in_processes(worker_jobs.job, ["process"], "items", workers=1)) == [first]


def test_items_are_consumed_as_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = in_processes(worker_jobs.job, items(), "numbers", workers=1)
    assert [next(results) for _ in range(3)] == [1, 4, 9]
    assert taken <= 3 + workers.MAX_AHEAD + 1
    results.close()  # type: ignore[attr-defined]


def test_without_items_no_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "Worker", lambda: pytest.fail("a worker was started"))
    assert list(in_processes(worker_jobs.job, [], "nothing")) == []


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    handle.end_idle_workers()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"does not start \(exit code 1\)"):
        list(in_processes(worker_jobs.job, [1], "items"))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, stop: signal.Signals) -> None:
    script = """
        import os, sys
        from polydiff.domains.molecule.workers.pool import in_processes
        from worker_jobs import job
        results = in_processes(job, ["process", {"busy": "hang"}.get(sys.argv[1], 1)], "items", workers=1)
        print(next(results), flush=True)
        print(next(results), flush=True)
        import time; time.sleep(600)
    """
    kind = "busy" if stop == signal.SIGINT else "at rest"
    code = "\n".join(line.strip() for line in script.splitlines())
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", code, kind], env=env, stdout=-1, stderr=-1, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)
        time.sleep(0.1)
        parent.send_signal(stop)
        error = parent.communicate()[1]
    assert ("KeyboardInterrupt" in error) == (stop == signal.SIGINT)
    assert error.count("Traceback") <= 1
    assert ends(worker)


def test_progress_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.showing(True):
        assert list(in_processes(worker_jobs.job, range(5), "squares", workers=1)) == [0, 1, 4, 9, 16]
        assert "squares: 5 of 5" in capsys.readouterr().err
        assert list(in_processes(worker_jobs.job, iter(range(5)), "squares", workers=1)) == [0, 1, 4, 9, 16]
        assert "squares: 5\n" in capsys.readouterr().err
        assert list(in_processes(worker_jobs.job, range(5), "squares", workers=1, quiet=True)) == [0, 1, 4, 9, 16]
        assert capsys.readouterr().err == ""


def test_the_number_of_idle_workers_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    handle.end_idle_workers()
    monkeypatch.setattr(workers, "MAX_IDLE", 1)
    assert list(in_processes(worker_jobs.late, [(i, 0.01) for i in range(9)], "numbers", workers=3)) == list(range(9))
    assert len(handle.IDLE) == 1
    assert alive(handle.IDLE[0].process.pid)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_busy_worker_whose_parent_is_killed_ends_without_a_word(stop: signal.Signals) -> None:
    script = """
        import os
        from polydiff.domains.molecule.workers.pool import in_processes
        from worker_jobs import slow
        results = in_processes(slow, [0.0, 1.0], "items", workers=1)
        print(next(results), flush=True)
        next(results)
    """
    code = "\n".join(line.strip() for line in script.splitlines())
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=-1, stderr=-1, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.send_signal(stop)
        error = parent.communicate()[1]  # until the worker has closed the stream, too
    assert ends(worker)
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


@pytest.mark.parametrize("rest", [b"", b"\x80\x05\x95\x10", pickle.dumps((b"x" * 100,))[:40]])
def test_a_worker_ends_without_a_word_when_messages_end(rest: bytes) -> None:
    code = f"from {worker_main.__module__} import main; main()"
    done = subprocess.run([sys.executable, "-c", code], input=rest, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_ctrl_c_while_a_worker_imports_is_left_to_the_parent(tmp_path: Path) -> None:
    slow = tmp_path / "polydiff"
    slow.mkdir()
    (slow / "__init__.py").write_text("print('imports', flush=True)\nimport time\ntime.sleep(1)\nraise SystemExit(0)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", handle.START]
    with subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "imports\n"
        worker.send_signal(signal.SIGINT)
        error = worker.communicate()[1]
    assert (worker.returncode, error) == (0, "")
