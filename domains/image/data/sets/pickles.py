"""Pickles of plain values, read without running anything that they name.

CIFAR's "python version" is pickle, a language whose programs can call any function. Here, its opcodes are only parsed
(`pickletools.genops`), and each that builds a dict, a list, a tuple, text, bytes or a number is carried out by this
module. The names that numpy's arrays are pickled with stand for arrays of numbers; any other name is an error.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.support.errors import UserError, one_line

MARK = object()
"""Mark on the stack."""
DTYPES = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"})
"""Types of the numbers of arrays."""
CALLABLE = {
    **{f"{module} _reconstruct": "array" for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{"numpy dtype": "dtype", "numpy ndarray": "ndarray", "_codecs encode": "encode"},
    "__builtin__ bytes": "bytes",
}
"""Name in a pickle -> what it stands for."""
VALUES = re.compile("(SHORT_)?(BIN)?(INT|STRING|UNICODE|BYTES|FLOAT)[128]?|LONG[14]?")
"""Opcodes with a value."""
CONSTANTS: dict[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: MARK},
    **{"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple},
}
"""Opcodes that push a new value."""


@dataclass(frozen=True)
class Name:
    """A name of `CALLABLE`."""

    meaning: str


@dataclass
class Array:
    """An array, or its type, under construction."""

    meaning: str
    args: tuple[Any, ...]
    state: tuple[Any, ...] = ()


def read_pickle(content: bytes, source: object) -> Any:
    """Return the value of a pickle, made of dict, list, tuple, str, bytes, numbers, None and arrays.

    Text of Python 2 becomes str, each byte one character (Latin-1).

    Arguments:
        content: The pickle.
        source: Its file, for messages.

    Raises:
        UserError: It is damaged, or holds anything else.
    """
    try:
        return Machine().run(content)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{source} is not a pickle of plain values: {one_line(error)}. Nothing of it was run."
        ) from error


class Machine:
    """The stack machine of pickles, limited to plain values. Its methods raise any error for a wrong pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """Return the value of a pickle."""
        for opcode, arg, _ in pickletools.genops(content):
            name = opcode.name
            if VALUES.fullmatch(name):
                self.stack.append(arg)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name]())
            elif name == "STOP":
                return plain(self.stack.pop())
            elif name not in ("PROTO", "FRAME"):
                method = getattr(self, f"do_{name.lower()}", None)
                if method is None:
                    raise ValueError(f"it contains the operation {name}")
                method(arg)
        raise ValueError("it ends too early")

    def since_mark(self) -> list[Any]:
        """Remove and return what lies above the last mark."""
        at = next(i for i in range(len(self.stack) - 1, -1, -1) if self.stack[i] is MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def do_put(self, arg: int) -> None:
        self.memo[arg] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, arg: int) -> None:
        self.stack.append(self.memo[arg])

    do_binget = do_long_binget = do_get

    def do_tuple(self, _: None) -> None:
        self.stack.append(tuple(self.since_mark()))

    def do_tuple1(self, _: None) -> None:
        self.pack(1)

    def do_tuple2(self, _: None) -> None:
        self.pack(2)

    def do_tuple3(self, _: None) -> None:
        self.pack(3)

    def pack(self, n: int) -> None:
        """Replace the last n values on the stack by their tuple."""
        if len(self.stack) < n:
            raise ValueError("it takes more values than it has")
        self.stack[-n:] = [tuple(self.stack[-n:])]

    def do_list(self, _: None) -> None:
        self.stack.append(self.since_mark())

    def do_append(self, _: None) -> None:
        self.extend([self.stack.pop()])

    def do_appends(self, _: None) -> None:
        self.extend(self.since_mark())

    def extend(self, values: Iterable[Any]) -> None:
        """Append values to the list on the stack."""
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to what is no list")
        self.stack[-1].extend(values)

    def do_dict(self, _: None) -> None:
        values = self.since_mark()
        self.stack.append({})
        self.update(values)

    def do_setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def do_setitems(self, _: None) -> None:
        self.update(self.since_mark())

    def update(self, values: list[Any]) -> None:
        """Add keys and values, in turn, to the dict on the stack."""
        if type(self.stack[-1]) is not dict or not all(isinstance(key, str | bytes | int) for key in values[::2]):
            raise ValueError("it sets an item of what is no dict of names")
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def do_global(self, arg: str) -> None:
        if arg not in CALLABLE:
            raise ValueError(f"it names {'.'.join(arg.split(' '))}, which is no plain value")
        self.stack.append(Name(CALLABLE[arg]))

    def do_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.do_global(f"{module} {name}")

    def do_reduce(self, _: None) -> None:
        args, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or name.meaning == "ndarray" or not isinstance(args, tuple):
            raise ValueError("it calls what is no type of array")
        if name.meaning == "encode":
            text, how = args
            if how not in ("latin1", "latin-1") or not isinstance(text, str):
                raise ValueError(f"it encodes text as {how}")
            self.stack.append(text.encode("latin-1"))
        elif name.meaning == "bytes" and not args:
            self.stack.append(b"")
        else:
            self.stack.append(Array(name.meaning, args))

    def do_build(self, _: None) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if not isinstance(value, Array) or value.state or not isinstance(state, tuple):
            raise ValueError("it changes what is no array")
        value.state = state


def plain(value: Any, done: dict[int, Any] | None = None, depth: int = 8) -> Any:
    """Return a value with its arrays completed.

    Arguments:
        value: Value of a pickle.
        done: Results by the identity of values, so that a value that occurs often is visited once.
        depth: Number of levels, dicts in dicts, that are accepted.
    """
    done = {} if done is None else done
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, Name) or value is MARK or not depth:
        raise ValueError("it holds a name, or values within values that are nested too deeply")
    result: Any
    if isinstance(value, Array):
        result = array_of(value)
    elif isinstance(value, dict):
        result = {key: plain(one, done, depth - 1) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        result = type(value)(plain(one, done, depth - 1) for one in value)
    else:
        return value
    return done.setdefault(id(value), result)


def array_of(value: Array) -> NDArray[Any]:
    """Return an array of numbers; raise ValueError for another type, or for a shape that its bytes do not fill."""
    _, shape, kind, columns_first, content = value.state
    order: Any = kind.state[1] if kind.state else "|"
    name = text_of(kind.args[0])
    if value.meaning != "array" or kind.meaning != "dtype" or name not in DTYPES or order not in ("<", ">", "|", "="):
        raise ValueError("it holds an array of other things than numbers")
    dtype = np.dtype(name).newbyteorder("=" if order == "|" else order)
    content = content.encode("latin-1") if isinstance(content, str) else content
    if not all(type(side) is int and side >= 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"the shape {shape} of an array does not fit its {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")


def text_of(value: Any) -> str:
    """Return text, or bytes as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
