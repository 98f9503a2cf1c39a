"""Which training examples `data.per_class` uses: as many of each class, in nested random choices.

The examples of a class are permuted at random, by `data.subset` and the name of the class, and the first ones are used.
So the choice of a smaller number is part of that of a larger one, and a class does not change the choice in another.
"""

from __future__ import annotations

from collections.abc import Sequence

from polydiff.contract.sections.data import DataConfig
from polydiff.core.streams import permutation
from polydiff.support.errors import UserError


def chosen(data: DataConfig, classes: Sequence[str | None]) -> list[int]:
    """Return the numbers of the training examples that are used, ascending.

    Arguments:
        data: Gives `per_class` and `subset`.
        classes: Class of each training example, "" of each if there are no classes; None: it has none, and is used
            only if `per_class` is not set.

    Raises:
        UserError: A class has fewer examples than `per_class`.
    """
    if data.per_class is None:
        return list(range(len(classes)))
    members: dict[str, list[int]] = {}
    for number, name in enumerate(classes):
        if name is not None:
            members.setdefault(name, []).append(number)
    return sorted(of[i] for name, of in members.items() for i in chosen_of_class(data, name, len(of)))


def chosen_of_class(data: DataConfig, name: str, count: int) -> list[int]:
    """Return which of the `count` training examples of a class are used, in random order; as `chosen`."""
    if data.per_class is None:
        return list(range(count))
    if count < data.per_class:
        what = f"class {name} has" if name else "there are"
        raise UserError(f"data.per_class={data.per_class}, but {what} {count} training examples. Lower it.")
    order: list[int] = permutation(data.subset, f"data/per_class/{name}", count)[: data.per_class].tolist()
    return order
