"""What workers are given in tests: a function must be of a module that they can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module


class Peculiar(Exception):
    """An exception that cannot be sent."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def job(word: str | int) -> object:
    """Do what a word says; of a number, its square."""
    match word:
        case int():
            return word * word
        case "hang":
            time.sleep(600)
        case "exit":
            os._exit(3)
        case "fault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "error":
            raise ValueError("a bad item")
        case "import":
            import_module("no_such_module")
        case "peculiar":
            raise Peculiar("of its", " own kind")
        case "memory":
            return len(bytearray(2**40))
        case "print":
            print("between the answers", flush=True)
            os.write(1, b"and below Python")
        case "modules":
            return sorted(sys.modules)
        case "process":
            return os.getpid()
    return word


def late(item: tuple[int, float]) -> int:
    """Return a number after some seconds."""
    time.sleep(item[1])
    return item[0]


def slow(seconds: float) -> int:
    """Return the process's number after some seconds."""
    time.sleep(seconds)
    return os.getpid()
