"""Bounds on a network that is built from a stored configuration: not far larger than the stored weights.

A configuration of a billion channels or ten million layers would otherwise fill the memory, or never end, before its
shapes could be compared with those of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from polydiff.support.errors import UserError, one_line

LARGER = 8
"""How many times larger than the stored weights a network may be while it is built."""
SPARE = (2**26, 10_000)
"""Numbers in tensors, and parameters and modules, that are allowed in any case."""


class Sizes(TorchDispatchMode):
    """Raises the error before a tensor is created that has more numbers than allowed.

    Arguments:
        most: Largest number of numbers in a tensor.
        error: What is raised.
    """

    def __init__(self, most: float, error: UserError) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most, self.error = most, error

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: else the first tensor imports torch._dynamo, in a second, though nothing is compiled here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and not isinstance(args[0], Tensor) and created(func.__name__, args) > self.most:
            raise self.error
        return func(*args, **(kwargs or {}))


def created(name: str, args: Sequence[Any]) -> float:
    """Return how many numbers a function that creates a tensor creates; 0 if it is none of these.

    Arguments:
        name: Name of torch's operator, such as "empty.memory_format".
        args: Its arguments by position.
    """
    sizes = next((arg for arg in args if isinstance(arg, list | tuple)), None)
    if sizes is not None:
        return math.prod(sizes) if all(type(size) is int for size in sizes) else 0
    numbers = [arg for arg in args if isinstance(arg, int | float)]
    kind = name.partition(".")[0]
    if kind == "arange" and numbers:
        first, last, step = (0, numbers[0], 1) if len(numbers) == 1 else (*numbers[:2], *numbers[2:3], 1)[:3]
        return abs((last - first) / step) if step else 0
    if kind in ("linspace", "logspace") and len(numbers) > 2:
        return numbers[2]
    return math.prod(numbers) if kind == "eye" else 0


@contextmanager
def limited(numbers: float, parts: int, error: UserError) -> Iterator[None]:
    """Raise an error if modules that are built in the `with` block are too large, before they are allocated.

    Arguments:
        numbers: Largest number of numbers, of one tensor and of all parameters together.
        parts: Largest number of parameters and modules.
        error: What is raised.
    """
    found = [0, 0]

    def count(module: nn.Module, name: str, part: Any) -> None:
        found[0] += part.numel() if isinstance(part, Tensor) else 0
        found[1] += 1
        if found[0] > numbers or found[1] > parts:
            raise error

    handles = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_module_registration_hook(count),
    ]
    try:
        with Sizes(numbers, error):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def bounded(stored: Mapping[str, Tensor], source: str) -> Iterator[None]:
    """Raise `UserError` if what is built in the `with` block is far larger than stored weights.

    Arguments:
        stored: The weights, by name.
        source: Where they and the configuration come from, for the message.
    """
    numbers = LARGER * sum(tensor.numel() for tensor in stored.values()) + SPARE[0]
    error = UserError(
        f"{source}: its configuration describes a network that is far larger than its weights, which are "
        f"{len(stored)} tensors. The checkpoint is damaged or not to be trusted."
    )
    with limited(numbers, LARGER * len(stored) + SPARE[1], error):
        yield


@contextmanager
def building(stored: Mapping[str, Tensor], source: str) -> Iterator[None]:
    """Raise `UserError` if the network in the `with` block is far larger than stored weights, or cannot be built.

    Arguments as of `bounded`.
    """
    try:
        with bounded(stored, source):
            yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise UserError(
            f"{source}: its configuration describes a network that cannot be built: {one_line(error)[:500]}. The "
            "checkpoint is damaged, or from another version of polydiff or of a plugin."
        ) from error
