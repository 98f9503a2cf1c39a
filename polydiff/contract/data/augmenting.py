"""Optional abilities of a `Domain` to write data sets of samples, and to judge what can be learned from them.

See `polydiff.contract.abilities`, and `polydiff.augmenting`, which uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples


class WritesData(Protocol):
    """A domain that writes examples in the form in which it reads data sets, for `polydiff augment`.

    Attributes:
        class_condition: Name of the condition that is the class of an example; "" if there are no classes.
    """

    @property
    def class_condition(self) -> str: ...

    def write_data(self, samples: Samples, directory: Path) -> Sequence[Mapping[str, Any]]:
        """Write one file for each of N examples, with no more loss than its format has, and return what belongs to it.

        polydiff moves each file to the folder of its class, and writes the columns of all to metadata.jsonl.

        Returns:
            {"file": name, "label": class, column: value, ...} of each example: `label` only if it has a class, and a
            column for each condition that the file itself does not hold.
        """


class JudgesData(Protocol):
    """A domain that judges examples by what a small model learns from them, for `polydiff augment --judge`.

    Attributes:
        learns: What is measured, such as "accuracy of a classifier on 359 held-out images"; "" if the data have nothing
            to learn, such as images without classes.
        better: "higher" if more of it is better, such as accuracy, or "lower", such as an error.
        plain_augmentation: What the label-preserving changes are that its augmentation makes; "" if it has none, and
            the ways to train that need it are left out.
    """

    @property
    def learns(self) -> str: ...

    @property
    def better(self) -> str: ...

    @property
    def plain_augmentation(self) -> str: ...

    def read_data(self, paths: Sequence[Path], conditions: Sequence[Mapping[str, Any]]) -> Samples:
        """Return examples that `WritesData.write_data` wrote, with their conditions as `Domain.describe` words them."""

    def learned(self, sets: Sequence[Samples], seed: int, augmented: bool) -> float:
        """Train a small model on examples, and return what `learns` measures; NaN if no held-out example has a label.

        Arguments:
            sets: Sets of labelled examples, such as real and synthetic ones. Each has the same share in training,
                however large it is, and the number of training steps, if there are any, does not depend on them. The
                same objects are given to many trainings.
            seed: Of the initial weights, the order or weights of the examples, and their changes.
            augmented: Whether training examples are changed at random, as `plain_augmentation` says.
        """
