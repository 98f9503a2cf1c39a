"""Draw samples of each class that are no copies of training examples.

Of K classes, the j-th sample of class c has the number i = j K + c. A sample that is a copy, or that cannot be compared
with training examples, is drawn again from another stream. So a sample is a function of the seed, its number and how
often it was drawn again, whatever else is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from polydiff.contract.data.augmenting import WritesData
from polydiff.contract.domain import Domain, Samples, conditions_of
from polydiff.core.conditions import Classes
from polydiff.core.streams import stream_seed
from polydiff.judging.copies import CopyTest
from polydiff.model.model import Model
from polydiff.model.request import Request
from polydiff.support.errors import UserError, unknown

AGAIN = 10
"""How often a sample is drawn again before drawing ends with an error."""


@dataclass
class Again:
    """How often a sample was drawn again.

    Arguments:
        copies: Because it was a copy of a training example.
        unusable: Because it could not be compared with training examples, such as atoms that are no molecule.
    """

    copies: int = 0
    unusable: int = 0


class Drawn(NamedTuple):
    """Samples that are no copies, and how often each was drawn again."""

    samples: Samples
    again: Sequence[Again]


@dataclass(frozen=True)
class ClassDraw:
    """The samples of one class.

    Arguments:
        name: The class as the user writes it; "" if there are no classes.
        request: Draws it.
        first: Number of its first sample, c.
        step: Number of classes, K.
    """

    name: str
    request: Request
    first: int = 0
    step: int = 1

    def numbers(self, begin: int, end: int) -> list[int]:
        """Return the numbers of its samples begin .. end - 1."""
        return [j * self.step + self.first for j in range(begin, end)]


def class_draws(
    model: Model, domain: WritesData, cond: Mapping[str, Any] | None, sampling: Mapping[str, Any]
) -> list[ClassDraw]:
    """Return what draws each class, or the only one that `cond` requests.

    Arguments:
        model: What draws.
        domain: Its domain.
        cond: Conditions of all samples, as of `Model.sample`.
        sampling: Keys of the section `sample`.
    """
    cond, name = dict(cond or {}), domain.class_condition
    if not name:
        return [ClassDraw("", model.request(cond, **sampling))]
    words = class_words(model.domain, name)
    if name in cond and str(cond[name]) not in words:
        raise unknown(name, str(cond[name]), words)
    wanted = [word for word in words if str(cond.get(name, word)) == word]
    return [
        ClassDraw(word, model.request({**cond, name: word}, **sampling), words.index(word), len(words))
        for word in wanted
    ]


def class_words(domain: Domain, name: str) -> list[str]:
    """Return the classes of a condition as the user writes them, in their order."""
    kind = conditions_of(domain)[name]
    assert isinstance(kind, Classes)
    return [str(row[name]) for row in domain.describe({name: torch.arange(kind.count)})]


@dataclass
class Drawing:
    """Draws samples that are no copies.

    Arguments:
        test: Decides which samples are copies.
        seed: Random seed.
    """

    test: CopyTest
    seed: int

    def samples(self, one: ClassDraw, begin: int, end: int) -> Drawn:
        """Return the samples begin .. end - 1 of a class.

        Raises:
            UserError: One of them is a copy, or unusable, however often it is drawn again.
        """
        numbers = one.numbers(begin, end)
        again = {number: Again() for number in numbers}
        found: dict[int, Samples] = {}
        for attempt in range(AGAIN + 1):
            left = [number for number in numbers if number not in found]
            for number, sample, copy, usable in self.tried(one, left, attempt) if left else ():
                if usable and not copy:
                    found[number] = sample
                elif usable:
                    again[number].copies += 1
                else:
                    again[number].unusable += 1
        if left := [number for number in numbers if number not in found]:
            raise too_many([again[number] for number in left], one, len(numbers))
        return Drawn(Samples.join([found[number] for number in numbers]), list(again.values()))

    def tried(self, one: ClassDraw, numbers: Sequence[int], attempt: int) -> Iterator[tuple[int, Samples, bool, bool]]:
        """Yield the number of each sample, the sample, whether it is a copy, and whether it can be compared."""
        samples = one.request.at(numbers, attempt_seed(self.seed, attempt))
        distances = self.test.distances(samples)
        copies = self.test.near(distances).tolist()
        usable = (~distances.isnan()).tolist()
        for i, number in enumerate(numbers):
            yield number, samples.take([i]), copies[i], usable[i]


def attempt_seed(seed: int, attempt: int) -> int:
    """Return the seed of an attempt to draw samples: the seed itself for the first."""
    return seed if attempt == 0 else stream_seed(seed, "augment/again", attempt)


def too_many(again: Sequence[Again], one: ClassDraw, n: int) -> UserError:
    """Return the error that samples stay copies or unusable.

    Arguments:
        again: How often each of those samples was drawn again.
        one: Their class.
        n: Number of the samples that they are of.
    """
    of = f" of {one.name}" if one.name else ""
    copies = sum(each.copies for each in again) >= sum(each.unusable for each in again)
    what = "near copies of training examples" if copies else "not usable, so that no data set can hold them"
    advice = (
        "The model has memorised its training examples: train it for fewer steps or on more examples, or lower "
        "--guidance. `polydiff look RUN --only nearest` shows the copies."
        if copies
        else "Train the model for longer, or sample in more steps."
    )
    return UserError(f"{len(again)} of {n} samples{of} are {what}, each drawn {AGAIN + 1} times. {advice}")
