"""Random streams as a function of what they are for, never a state that is carried along.

A stream is named by (seed, purpose, counters): the noise of training example 17 of step 300, the initial noise of
sample 5. Whoever asks gets the same numbers, whatever was drawn before, however the batch was split, and after
any interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch

Device = torch.device | str


def stream_seed(seed: int, purpose: str, *counters: int) -> int:
    """Return a 63-bit number that depends on every argument, by BLAKE2b."""
    name = f"{seed}/{purpose}/{'/'.join(map(str, counters))}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, *counters: int, device: Device = "cpu") -> torch.Generator:
    """Return the generator of the stream (seed, purpose, counters)."""
    generator = torch.Generator(device)
    generator.manual_seed(stream_seed(seed, purpose, *counters))
    return generator


def streams(seed: int, purpose: str, indices: Iterable[int], device: Device = "cpu") -> list[torch.Generator]:
    """Return one generator for each sample, named by the sample's global index."""
    return [stream(seed, purpose, index, device=device) for index in indices]


def permutation(seed: int, purpose: str, n: int, *counters: int) -> torch.Tensor:
    """Return the order of n things that the stream (seed, purpose, counters) gives."""
    return torch.randperm(n, generator=stream(seed, purpose, *counters))
