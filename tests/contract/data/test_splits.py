"""Splits of the user's files: by hash, by folders and columns, with every class in both."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydiff.contract.data.splits import ALL, assign, counts, lot, scarce, split_folders, stated_split

NAMES = st.lists(st.text(min_size=1), min_size=2, max_size=30, unique=True)


def held(keys: list[str], share: float = 0.2, **more: object) -> set[str]:
    return {key for key, side in zip(keys, assign(keys, share, **more), strict=True) if side == "test"}  # type: ignore[arg-type]


@given(NAMES, st.floats(0.01, 0.99), st.sampled_from([6, 7]))
def test_without_classes_the_split_is_the_hash_and_each_split_has_a_file(
    names: list[str], share: float, width: int
) -> None:
    lots = {
        name: int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=width).digest())
        / 256**width
        for name in names
        if name.isprintable()
    }
    if len(lots) < 2:
        return
    ordered = sorted(lots.values())
    bound = min(max(share, ordered[1]), ordered[-1])
    assert held(list(lots), share, width=width) == {name for name, number in lots.items() if number < bound}


def test_new_files_move_no_other_even_with_classes() -> None:
    keys = [f"{i % 4}/{i}.png" for i in range(4000)]
    classes = [key[0] for key in keys]
    before = held(keys[:2000], classes=classes[:2000])
    assert before == {key for key in held(keys, classes=classes) if key in set(keys[:2000])}
    assert 350 < len(before) < 450


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0.05, 0.6), st.integers(0, 10**6))
def test_every_class_is_held_out_by_half_to_twice_its_share(sizes: list[int], share: float, salt: int) -> None:
    classes = [str(c) for c, size in enumerate(sizes) for _ in range(size)]
    keys = [f"{salt}/{name}/{i}" for i, name in enumerate(classes)]
    found = counts(assign(keys, share, classes=classes), classes)
    for c, size in enumerate(sizes):
        test = found[str(c)]["test"]
        assert sum(found[str(c)].values()) == size
        if size == 1:
            assert test == 0
        else:
            assert max(1, int(share * size / 2)) <= test <= max(1, min(size - 1, 2 * share * size + 1))


def test_twenty_bells_and_twenty_kicks_are_both_held_out() -> None:
    for salt in range(200):
        keys = [f"{name}/{salt}-{i}.wav" for name in ("bell", "kick") for i in range(20)]
        found = Counter(key.partition("/")[0] for key in held(keys, 0.1, classes=[key[:4] for key in keys]))
        assert all(1 <= found[name] <= 4 for name in ("bell", "kick"))


def test_examples_with_one_key_are_in_one_split() -> None:
    keys = [f"speaker {i % 25}" for i in range(500)]
    classes = [f"word {i % 7}" for i in range(500)]
    sides = assign(keys, 0.2, classes=classes)
    assert len(set(zip(keys, sides, strict=True))) == 25
    assert all(min(n.values()) > 0 for n in counts(sides, classes).values())


def test_one_key_cannot_be_divided_and_is_trained_on() -> None:
    low = next(f"a{i}" for i in range(100) if lot(f"a{i}") < 0.2)
    assert assign([low, low], 0.2) == ["train", "train"]
    assert assign([low, "b", "c"], 0.2, classes=["x", "y", "y"])[0] == "train"


def test_stated_splits_are_obeyed_and_validation_is_held_out_only_without_a_test_split() -> None:
    keys = [f"{i}" for i in range(8)]
    stated = ["train"] * 4 + ["test"] * 2 + ["validation"] * 2
    assert assign(keys, 0.5, stated=stated) == ["train"] * 4 + ["test"] * 2 + [""] * 2
    assert assign(keys, 0.5, stated=["train"] * 6 + ["validation"] * 2) == ["train"] * 6 + ["test"] * 2
    assert assign(keys, 0.5, stated=["train"] * 8) == assign(keys, 0.5)


@pytest.mark.parametrize(
    ("columns", "split", "others"),
    [
        ({"split": "test", "a": 1}, "test", {"a": 1}),
        ({"SPLIT": " Val ", "a": 1}, "validation", {"a": 1}),
        ({"split": "", "Split": "train"}, "train", {}),
        ({"split": None}, "", {}),
        ({"splits": "test"}, "", {"splits": "test"}),
    ],
)
def test_the_column_split_is_read_in_any_case_and_is_no_other_column(
    columns: dict[str, object], split: str, others: dict[str, object]
) -> None:
    assert stated_split(columns) == (split, others)


@pytest.mark.parametrize("cell", ["fold 3", 0, "test_scaffolds"])
def test_a_column_split_of_other_words_is_an_error(cell: object) -> None:
    with pytest.raises(ValueError, match=f"split={cell} is not one of train, "):
        stated_split({"split": cell})


def test_an_example_follows_those_of_its_key_that_have_a_split() -> None:
    low = next(f"a{i}" for i in range(100) if lot(f"a{i}") < 0.2)
    high = next(f"a{i}" for i in range(100) if lot(f"a{i}") > 0.2)
    stated = ["train", "", "test", ""]
    assert assign([low, low, high, high], 0.2, stated=stated) == ["train", "train", "test", "test"]


@pytest.mark.parametrize(
    ("tops", "found"),
    [
        (["train", "test"], {"train": "train", "test": "test"}),
        (["Train", "VAL"], {"Train": "train", "VAL": "validation"}),
        (["training", "valid", "testing"], {"training": "train", "valid": "validation", "testing": "test"}),
        (["train", "test", "extra"], {"train": "train", "test": "test"}),
        (["train"], {"train": "train"}),
        (["train", "bus", "car"], {}),
        (["train2017", "val2017"], {"train2017": "train", "val2017": "validation"}),
        (["train_images", "test_images"], {"train_images": "train", "test_images": "test"}),
        (["train_images", "labels"], {}),
        (["train1", "train2"], {}),
        (["training day", "testament"], {}),
        (["test", "bus"], {}),
        (["cat", "dog"], {}),
        ([], {}),
    ],
)
def test_folders_are_splits_if_training_and_a_held_out_one_are_among_them(
    tops: list[str], found: dict[str, str]
) -> None:
    assert split_folders(tops) == found


def test_a_warning_names_the_classes_of_which_few_are_held_out() -> None:
    assert scarce({"a": {"train": 50, "test": 5}}) == ""
    assert "held out: bell (1 of 20), kick (3 of 20)." in scarce(
        {"bell": {"train": 19, "test": 1}, "kick": {"train": 17, "test": 3}, "a": {"train": 50, "test": 10}}
    )
    assert "held out: 2 of 9." in scarce({ALL: {"train": 7, "test": 2}})
