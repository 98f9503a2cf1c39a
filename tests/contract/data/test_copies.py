"""Copies share a split and are counted."""

from __future__ import annotations

import warnings

import pytest

from polydiff.contract.data.copies import joined, note_copies
from polydiff.contract.data.quarantine import Quarantine


def test_keys_that_share_a_content_become_the_shortest_of_them() -> None:
    assert joined(["long.wav", "b.wav", "c.wav"], [1, 1, 2]) == ["b.wav", "b.wav", "c.wav"]
    assert joined(["b", "a", "c"], [1, 1, 2]) == ["a", "a", "c"]


def test_copies_of_copies_are_one_group() -> None:
    keys = ["ann", "ann", "bob", "bob", "eve", "dan"]  # speakers, of whom two have a recording in common with bob
    assert joined(keys, [1, 2, 2, 3, 3, 4]) == ["ann", "ann", "ann", "ann", "ann", "dan"]


def test_unknown_contents_join_nothing_and_one_content_leaves_all_keys() -> None:
    assert joined(["a", "b", "c"], [None, None, None]) == ["a", "b", "c"]
    assert joined(["a", "b", "c"], [1, 1, 1]) == ["a", "b", "c"]


def test_copies_are_counted_and_those_on_both_sides_are_a_warning() -> None:
    found = Quarantine("photos", "images")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_copies(found, [1, 1, 2, None, None], ["train", "train", "test", "train", "test"], "pixels")
    assert found.notes == {"copies": "1 have the same pixels as another one"}
    with pytest.warns(UserWarning, match="1 held-out images have the same pixels as a training image"):
        note_copies(found, [1, 1, 2], ["train", "test", "test"], "pixels")
    assert found.notes["leaked"] == "1 held-out ones have the same pixels as a training image"
