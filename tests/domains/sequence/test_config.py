"""Keys of texts that contradict each other, and what follows from the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.config.merge import resolve
from polydiff.support.errors import UserError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"data.crops": "true"}, "data.name=sums does not use data.crops"),
        ({"data.conditions": "heavy_atoms"}, "data.name=sums does not use data.conditions"),
        ({"data.length": "8"}, "data.length=8 is less than the 9 letters of the longest text"),
        ({"data.name": "smiles", "data.length": "17"}, "less than the 18 letters"),
        ({"data.path": "a.txt", "data.crops": "true"}, "needs data.length"),
        ({"learn": "encode"}, "learn"),
        ({"data.path": "a.txt", "data.crops": "true", "data.length": "9", "data.conditions": "x"}, "one text"),
    ],
)
def test_keys_that_do_not_fit_are_an_error(words: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve("sequence", words=words)


def test_a_path_means_the_users_texts(tmp_path: Path) -> None:
    assert resolve("sequence", values={"data.path": tmp_path}).config.data.name == "file"


@pytest.mark.parametrize("largest", [9, 99, 999, 12])
def test_the_longest_sum_is_that_of_the_largest_numbers(largest: int) -> None:
    data = resolve("sequence", values={"data.largest": largest}).config.data
    assert data.longest_sum == max(len(f"{a}+{b}={a + b}") for a in (0, largest) for b in (0, largest))


def test_crops_have_no_first_place() -> None:
    words = {"data.path": "a.txt", "data.crops": "true", "data.length": "32"}
    assert resolve("sequence").config.backbone.coordinates
    assert not resolve("sequence", words=words).config.backbone.coordinates
    assert resolve("sequence", words={**words, "backbone.coordinates": "true"}).config.backbone.coordinates


def test_the_preset_text8_trains_on_crops_of_the_users_text() -> None:
    data = resolve("sequence", "text8", words={"data.path": "text8"}).config.data
    assert (data.crops, data.length, data.test_share) == (True, 256, 0.05)
    shorter = resolve("sequence", "text8", words={"data.path": "text8", "data.length": "64"}).config.data
    assert (shorter.crops, shorter.length, shorter.test_share) == (True, 64, 0.05)


@pytest.mark.parametrize(
    ("words", "judged"),
    [
        ({}, False),
        ({"data.name": "smiles"}, True),
        ({"data.path": "x.smi"}, True),
        ({"data.path": "x.txt"}, False),
        ({"data.path": "x.csv", "data.judge": "smiles"}, True),
        ({"data.path": "x.smi", "data.judge": "none"}, False),
    ],
)
def test_smiles_are_judged_as_such(words: dict[str, str], judged: bool) -> None:
    assert resolve("sequence", words=words).config.data.judged_as_smiles is judged


@pytest.mark.parametrize("process", ["masked", "uniform", "marginal", "gaussian"])
def test_every_process_has_defaults_that_suit_it(process: str) -> None:
    from polydiff.training.checks import check_config

    check_config(resolve("sequence", words={"process": process}).config)
