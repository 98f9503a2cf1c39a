"""Random streams: a generator is a function of its name, not a state that is passed along.

The name of a stream is (seed, purpose, counters), such as the noise of training example 17 of step 300, or the initial
noise of sample 5. A stream gives the same numbers in every batch and after every interruption, independently of earlier
draws.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable

import numpy as np
import torch

from polydiff.support.errors import UserError

Device = torch.device | str
LONGEST = 2**28
"""Length of a permutation beyond which `shuffled` computes it on demand: 2 GiB."""
ROUNDS = 6
"""Rounds of a permutation on demand; four already make it pseudorandom (Luby and Rackoff, 1988)."""


def stream_seed(seed: int, purpose: str, *counters: int) -> int:
    """Return the seed of a stream: a 63-bit hash (BLAKE2b) of all arguments.

    Raises:
        UserError: The seed or a counter is not a whole number.
    """
    name = f"{whole('seed', seed)}/{purpose}/{'/'.join(str(whole('a counter', n)) for n in counters)}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def whole(name: str, value: int) -> int:
    """Return a whole number of any type, numpy's and torch's included, as an int; `name` stands in the message.

    Raises:
        UserError: The value is something else, such as 1.0 or True, which would name another stream than 1.
    """
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError as error:
        raise UserError(f"{name} must be a whole number, not {value!r}.") from error


def stream(seed: int, purpose: str, *counters: int, device: Device = "cpu") -> torch.Generator:
    """Return the generator of the stream (seed, purpose, counters)."""
    generator = torch.Generator(device)
    generator.manual_seed(stream_seed(seed, purpose, *counters))
    return generator


def streams(seed: int, purpose: str, indices: Iterable[int], device: Device = "cpu") -> list[torch.Generator]:
    """Return one generator for each sample.

    Arguments:
        seed: Seed of the whole run or request.
        purpose: What the numbers are for, such as "noise".
        indices: Index of each sample in the data set or request (not in its batch), B numbers.
        device: Device of the generators.

    Returns:
        B generators.
    """
    return [stream(seed, purpose, index, device=device) for index in indices]


def permutation(seed: int, purpose: str, n: int, *counters: int) -> torch.Tensor:
    """Return a random permutation of 0 to n - 1, shape (n,), drawn from the stream (seed, purpose, counters)."""
    return torch.randperm(n, generator=stream(seed, purpose, *counters))


class OnDemand:
    """A random permutation of 0 to n - 1 whose entries are computed where they are read, in a memory of O(1).

    A Feistel network permutes the numbers of 2 w bits, n <= 2^(2 w) < 4 n, w bits a half: in each round

        (a, b) -> (b, a xor F(round, b)),    F: the lowest w bits of `stream_seed`.

    A number is put through it until it is below n, less than four times on average (Black and Rogaway, 2002,
    https://doi.org/10.1007/3-540-45760-7_9).

    Arguments:
        seed, purpose, counters: Name of the stream.
        n: Length.
    """

    def __init__(self, seed: int, purpose: str, n: int, *counters: int) -> None:
        self.seed, self.purpose, self.n, self.counters = seed, purpose, n, counters
        self.width = (n - 1).bit_length() + 1 >> 1

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> int:
        if not 0 <= i < self.n:
            raise IndexError(i)
        i = self.permuted(i)
        while i >= self.n:
            i = self.permuted(i)
        return i

    def permuted(self, number: int) -> int:
        """Return where the network takes a number of 2 w bits."""
        mask = (1 << self.width) - 1
        a, b = number >> self.width, number & mask
        for turn in range(ROUNDS):
            a, b = b, a ^ stream_seed(self.seed, self.purpose, *self.counters, turn, b) & mask
        return a << self.width | b


def shuffled(seed: int, purpose: str, n: int, *counters: int) -> torch.Tensor | OnDemand:
    """Return a random permutation of 0 to n - 1 that is read by single indices: `permutation`, or one on demand."""
    return permutation(seed, purpose, n, *counters) if n <= LONGEST else OnDemand(seed, purpose, n, *counters)
