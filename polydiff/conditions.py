"""What kinds of conditions there are, beside a state: classes, numbers, sequences and signals.

A domain says what its network can be asked to be as name -> kind. In a batch a condition is a tensor with B first, and
what is not given is -1 for a class and NaN for all else, element by element: so a text may be shorter than others of
its batch, and a recording may be known outside of a gap alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """A sequence that a network looks at by cross-attention, such as a text's embedding: (B, N, width), any N.

    Arguments:
        width: Numbers of a token. A token of NaN is not there.
    """

    width: int


@dataclass(frozen=True)
class Aligned:
    """A signal that lies beside the state, such as its mel spectrogram: (B, channels, *ceil(sizes / every)).

    Arguments:
        channels: Numbers at a place. A place with a NaN is not given.
        every: Places of the state, along each axis, that one place of the signal stands for.
    """

    channels: int
    every: int = 1


Kind = int | Tokens | Aligned
"""A number of classes, 0 for one real number (standardised), a sequence, or a signal."""
Conditions = Mapping[str, Kind]
