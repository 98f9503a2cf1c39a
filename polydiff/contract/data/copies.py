"""Copies among the user's examples: they share a split, and are counted."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN


def joined(keys: Sequence[str], contents: Sequence[Hashable]) -> list[str]:
    """Return the keys by which examples are split, where keys that share a content are one.

    The shortest of them stands for all, which is usually the name of the original. Keys stay as they are if all
    examples would have one, such as copies of one example to see whether a network can learn it.

    Arguments:
        keys: Key of each example, such as its file or its speaker.
        contents: What is equal for copies, such as a digest; None if it is unknown.
    """
    root = {key: key for key in keys}

    def find(key: str) -> str:
        while root[key] != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    first: dict[Hashable, str] = {}
    for key, content in zip(keys, contents, strict=True):
        if content is not None:
            one, other = find(key), find(first.setdefault(content, key))
            shorter, longer = sorted((one, other), key=lambda name: (len(name), name))
            root[longer] = shorter
    found = [find(key) for key in keys]
    return found if len(set(found)) > 1 else list(keys)


def note_copies(quarantine: Quarantine, contents: Sequence[Hashable], sides: Sequence[str], what: str) -> None:
    """Count copies, and warn of those that the data themselves put on both sides.

    Arguments:
        quarantine: Receives the counts.
        contents: What is equal for copies; None if it is unknown.
        sides: Split of each example.
        what: What they share, such as "pixels".
    """
    known = [content for content in contents if content is not None]
    if repeated := len(known) - len(set(known)):
        quarantine.notes["copies"] = f"{repeated} have the same {what} as another one"
    pairs = list(zip(contents, sides, strict=True))
    trained = {content for content, side in pairs if side == TRAIN and content is not None}
    if leaked := sum(side == TEST and content in trained for content, side in pairs):
        one = quarantine.things.removesuffix("s")
        quarantine.notes["leaked"] = f"{leaked} held-out ones have the same {what} as a training {one}"
        warnings.warn(f"{leaked} held-out {quarantine.things} have the same {what} as a training {one}.", stacklevel=2)
