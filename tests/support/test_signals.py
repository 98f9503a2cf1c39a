"""Ctrl-C and SIGTERM end the program in one line, with the exit code of the signal, wherever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_plugins import PLUGINS

from polydiff.support.signals import Interrupts, Terminated, exit_code, stop_by, terminable

WAIT = """
import pathlib, time
pathlib.Path("reached").touch()
time.sleep(60)
"""


def test_the_exit_code_is_that_of_the_signal() -> None:
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(Terminated()) == 143
    assert exit_code(Terminated(signal.SIGUSR1)) == 138


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_raises_within_the_context_alone(number: signal.Signals) -> None:
    found = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored
    try:
        with terminable(), pytest.raises(Terminated) as raised:
            signal.raise_signal(number)
        assert raised.value.number == number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, found)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with terminable(), Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.requested
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGUSR1)
            assert interrupts.requested
            assert exit_code(stop_by(interrupts.number)) == 138
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_of_the_program_that_calls_stays() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGUSR1)
            assert not interrupts.requested
        assert received == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_get_no_handler() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with terminable():
                pass
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


def ended_at(folder: Path, module: str, number: signal.Signals, *words: str) -> tuple[int, str, str]:
    """Send a signal to the program once it imports a module, and return its exit code, stdout and stderr.

    Arguments:
        folder: Its current folder.
        module: Name of the module, which is replaced by one that waits.
        number: The signal.
        words: Arguments of the program.
    """
    (folder / "path").mkdir()
    (folder / "path" / f"{module}.py").write_text(WAIT)
    paths = os.pathsep.join([str(folder / "path"), str(PLUGINS)])
    process = subprocess.Popen(
        [sys.executable, "-m", "polydiff", *words], cwd=folder, text=True, env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (folder / "reached").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)  # it sleeps by then: an exception during a callback of Python's own would be lost
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("module", ["pydantic", "rich", "torch", "sklearn"])
def test_a_signal_during_imports_ends_the_program_in_one_line(
    module: str, number: signal.Signals, code: int, said: str, tmp_path: Path
) -> None:
    found, out, err = ended_at(tmp_path, module, number, "train", "-d", "image", "-o", "run")
    assert (found, out) == (code, "")
    if module == "sklearn":  # it reads the data, after the run is locked
        assert "Stopped before the first checkpoint" in err
        assert "Traceback" not in err
    else:
        assert err == f"polydiff: {said}.\n"
    assert not (tmp_path / "run").exists()


AT_EXIT = """
import atexit, os, signal
atexit.register(lambda: (print("done", flush=True), os.kill(os.getpid(), signal.{name}), print("never")))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_python_shuts_down_ends_the_program_without_a_word(name: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_EXIT.format(name=name))
    ended = subprocess.run(
        [sys.executable, "-m", "polydiff", "--version"], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (-getattr(signal, name), "")  # a shell says 130 and 143
    assert ended.stdout.splitlines()[-1] == "done"
