"""Which examples of the user's files are trained on and which are held out, for every kind of data.

Examples with one key, such as the parts of a file, the sounds of a speaker, copies of a picture or the geometries of a
molecule, are in one split.

1. Splits that the data state are obeyed: folders train/, valid/ and test/ at the top, or a column `split`, which
   precedes the folders. A validation split is held out if there is no test split, and otherwise left out.
2. The others are held out if a hash of their key is below the share of the test split. So the split of an example does
   not depend on the other examples, and added files move none.
3. Chance alone may hold out none of a small class. If less than half or more than twice its share would be held out,
   the examples with the nearest hashes move, until that holds. Each split has at least one example of every class that
   has two keys.

Of the training examples, `data.per_class` uses as many of each class (`chosen`). They are permuted at random, by
`data.subset` and the name of the class, and the first ones are used. So the choice of a smaller number is part of that
of a larger one, and a class does not change the choice in another.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.contract.sections.data import DataConfig
from polydiff.core.streams import permutation
from polydiff.support.errors import UserError

TRAIN, TEST, VALIDATION = "train", "test", "validation"
NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "eval"), TEST),
    **dict.fromkeys(("valid", "validation", "val", "dev"), VALIDATION),
}
"""Name of a folder, or value in the column `split` of a table, in lower case -> split."""
SPLIT = "split"
"""Name, in lower case, of the column that states the split of an example."""
ALL = "all"
"""What stands for the class where there are no classes."""
FEW = 5
"""Number of held-out examples of a class below which a warning is due."""
LISTED = 12
"""Classes that a warning lists."""


def split_folders(tops: Iterable[str]) -> dict[str, str]:
    """Return folder -> split for the folders at the top of a data set that are splits; {} if they are not.

    They are splits if one is named train and the others include a held-out split, or if train is the only one. So a
    class named "train" beside "bus" and "car" is a class. Names such as train2017 or test_images, which begin with a
    split's name, count if all folders have such names.

    Arguments:
        tops: Names of all folders at the top that hold examples.
    """
    folders = sorted(set(tops))
    found = {name: NAMES[name.lower()] for name in folders if name.lower() in NAMES}
    kinds = set(found.values())
    if TRAIN in kinds and (len(kinds) > 1 or len(found) == len(folders)):
        return found
    first = {name: NAMES.get(re.split(r"[^a-z]", name.lower())[0], "") for name in folders}
    return first if TRAIN in first.values() and len(set(first.values())) > 1 and all(first.values()) else {}


def folder_at_top(file: Path, root: Path) -> str:
    """Return the folder below `root` in which a file lies, "" if it lies in `root` itself."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def stated_split(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the split that the column `split` of an example states, "" if none, and the other columns.

    The case of name and value does not matter.

    Raises:
        ValueError: The column names no split.
    """
    others = {name: value for name, value in columns.items() if name.strip().lower() != SPLIT}
    cells = (str(columns[name]).strip() for name in columns.keys() - others.keys() if columns[name] is not None)
    stated = next((cell for cell in cells if cell), "")
    if stated and stated.lower() not in NAMES:
        raise ValueError(f"split={stated} is not one of {', '.join(NAMES)}")
    return NAMES.get(stated.lower(), ""), others


def outside_of(folders: Iterable[str], n: int) -> str:
    """Return the remark that n examples lie beside the folders of the splits."""
    return f"{n} lie outside of {', '.join(f'{name}/' for name in folders)} and are left out"


def lot(key: str, width: int = 7) -> float:
    """Return a number in [0, 1) that depends on a key alone: the first `width` bytes of a hash (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=width).digest()) / float(1 << 8 * width)


def assign(
    keys: Sequence[str],
    share: float,
    *,
    stated: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    width: int = 7,
) -> list[str]:
    """Return the split of each example: "train", "test", or "" if it is left out.

    Arguments:
        keys: Key of each example; examples with the same key are in the same split, unless the data state otherwise.
        share: Share of the test split.
        stated: Split of each example that the data state: "train", "test", "validation", or "" if they state none.
        classes: Class of each example; None: there are no classes.
        width: Bytes of the hash (`lot`).
    """
    given = obeyed(stated or [""] * len(keys))
    followed = stated_keys(keys, given)
    groups: dict[str, list[str]] = {}
    for key, name in zip(keys, classes or [""] * len(keys), strict=True):
        if key not in followed:
            groups.setdefault(key, []).append(name)
    lots = {key: lot(key, width) for key in groups}
    held = {key for key in groups if lots[key] < share}
    if TEST not in given:
        held = balanced(groups, lots, held, share)
    sides = {key: TEST if key in held else TRAIN for key in groups} | followed
    return ["" if side == VALIDATION else side or sides[key] for key, side in zip(keys, given, strict=True)]


def obeyed(stated: Sequence[str]) -> list[str]:
    """Return the stated splits to obey: without a test split, validation is the test split; without both, none."""
    kinds = set(stated)
    if TEST in kinds:
        return list(stated)
    if VALIDATION in kinds:
        return [TEST if side == VALIDATION else side for side in stated]
    return [""] * len(stated)


def stated_keys(keys: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Return the splits of keys that have one by the data; a key with several is held out, so that none is trained on.

    A key of the left-out validation split is left out.
    """
    rank = {TRAIN: 0, VALIDATION: 1, TEST: 2}
    found: dict[str, str] = {}
    for key, side in zip(keys, given, strict=True):
        if side:
            found[key] = max(side, found.get(key, side), key=rank.__getitem__)
    return {key: "" if side == VALIDATION else side for key, side in found.items()}


def balanced(groups: Mapping[str, Sequence[str]], lots: Mapping[str, float], held: set[str], share: float) -> set[str]:
    """Return the held-out keys with every class within its limits (rule 3 of this module).

    Arguments:
        groups: Key -> class of each of its examples; "" for examples without a class.
        lots: Key -> its number in [0, 1).
        held: Keys below the share.
        share: Share of the test split.
    """
    members: dict[str, list[str]] = {}
    for key in sorted(groups, key=lambda key: (lots[key], key)):
        for name in set(groups[key]):
            members.setdefault(name, []).append(key)
    total = Counter(name for names in groups.values() for name in names)
    out = Counter(name for key in held for name in groups[key])
    limits = {name: limits_of(total[name], len(members[name]), share, bool(name)) for name in total}

    def shift(key: str, sign: int) -> bool:
        """Move a key into the test split (1) or out of it (-1) if each of its classes stays within its limits there."""
        change = Counter(groups[key])
        if any(
            out[name] + n > limits[name][1] if sign > 0 else out[name] - n < limits[name][0]
            for name, n in change.items()
        ):
            return False
        out.update({name: sign * n for name, n in change.items()})
        return True

    for name in sorted(total):
        low, high = limits[name]
        for key in members[name] if out[name] < low else []:
            if out[name] < low and key not in held and shift(key, 1):
                held.add(key)
        for key in reversed(members[name]) if out[name] > high else []:
            if out[name] > high and key in held and shift(key, -1):
                held.remove(key)
    return held


def limits_of(n: int, keys: int, share: float, classed: bool) -> tuple[int, int]:
    """Return the least and greatest number of held-out examples.

    Arguments:
        n: Number of examples.
        keys: Number of their keys; one key cannot be divided, and is trained on.
        share: Share of the test split.
        classed: Whether they are a class; otherwise one example in each split is enough.
    """
    if keys < 2:
        return 0, 0
    if not classed:
        return 1, n - 1
    return max(1, math.floor(share * n / 2)), max(1, min(n - 1, math.ceil(2 * share * n)))


def counts(sides: Sequence[str], classes: Sequence[str] | None = None) -> dict[str, dict[str, int]]:
    """Return class -> {"train": n, "test": n}, in alphabetical order; the only one is `ALL` if there are no classes."""
    names = classes or [ALL] * len(sides)
    found = {name: {TRAIN: 0, TEST: 0} for name in sorted(set(names))}
    for name, side in zip(names, sides, strict=True):
        if side:
            found[name][side] += 1
    return found


def scarce(found: Mapping[str, Mapping[str, int]]) -> str:
    """Return a warning on classes of which fewer than `FEW` examples are held out; "" if there are none.

    Arguments:
        found: Class -> number of examples by split (`counts`).
    """
    few = {name: n for name, n in found.items() if n[TEST] < FEW}
    if not few:
        return ""
    parts = [in_words(name, n[TEST], n[TRAIN] + n[TEST]) for name, n in list(few.items())[:LISTED]]
    more = f" and {len(few) - LISTED} more" if len(few) > LISTED else ""
    return (
        f"Few examples are held out: {', '.join(parts)}{more}. Measures of real and generated examples are uncertain "
        "for them. Add examples, or raise data.test_share if no folder or column states the split."
    )


def in_words(name: str, held_out: int, total: int) -> str:
    """Return "bell (1 of 20)", or "1 of 20" if there are no classes."""
    return f"{held_out} of {total}" if name == ALL else f"{name} ({held_out} of {total})"


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
