"""Statistics in a checkpoint of molecules: what is damaged or implausible is one error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forged import forged, put

from polydiff.model.model import Model
from polydiff.support.errors import UserError


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("elements", [], "elements"),
        ("elements", ["H", "C", "N", "O", "F"], r"elements\.0"),
        ("elements", [1, 6, 7, 8, 200], r"elements\.4"),
        ("elements", [6, 1, 7, 8, 9], "elements should increase"),
        ("elements", [1, 6, 7, 8], "frequencies has 5 numbers for 4 elements"),
        ("frequencies", [0.0] * 5, "frequencies should add up to 1"),
        ("frequencies", [-1.0, 0.5, 0.5, 0.5, 0.5], r"frequencies\.0"),
        ("scale", 0, "scale"),
        ("scale", -1.0, "scale"),
        ("scale", [1.0], "scale"),
        ("sizes", [], "sizes"),
        ("sizes", [[3]], r"sizes\.0"),
        ("sizes", [[3, -1]], r"sizes\.0\.1"),
        ("sizes", [[3.5, 1]], r"sizes\.0\.0"),
        ("sizes", [[10**9, 1]], "sizes should be at most 10,000 atoms"),
        ("means", [0.0], "stds has 7 numbers, but means has 1"),
        ("means.0", "high", r"means\.0"),
        ("stds.0", 0.0, "stds"),
        ("stds.0", -1.0, "stds"),
        ("stds.0", [1.0], r"stds\.0"),
        ("profiles", [], "profiles"),
        ("profiles", [[5.0]], r"profiles\.0 has 1 numbers instead of 8"),
        ("profiles.3", ["five"] * 8, r"profiles\.3\.0"),
        ("profiles.3.0", None, r"profiles\.3 should begin with a number of atoms"),
        ("profiles.3.0", -5.0, r"profiles\.3 should begin with a number of atoms"),
        ("profiles.3.0", 1e9, r"profiles\.3 should begin with a number of atoms"),
        ("profiles.3.0", 5.5, r"profiles\.3 should begin with a number of atoms"),
    ],
)
def test_damaged_statistics_are_one_error(key: str, value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        Model.load(forged("molecule", tmp_path, put(key, value)))


@pytest.mark.parametrize("key", ["elements", "frequencies", "scale", "means", "stds", "profiles"])
def test_missing_statistics_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{key}: field required"):
        Model.load(forged("molecule", tmp_path, lambda statistics: statistics.pop(key)))


def test_as_many_means_as_conditions(tmp_path: Path) -> None:
    def shorten(statistics: dict[str, Any]) -> None:
        statistics.update({key: statistics[key][:-1] for key in ("means", "stds")})
        statistics["profiles"] = [row[:-1] for row in statistics["profiles"]]

    with pytest.raises(UserError, match="means has 6 numbers for 7 conditions"):
        Model.load(forged("molecule", tmp_path, shorten))


def test_a_checkpoint_without_a_histogram_of_sizes_loads(tmp_path: Path) -> None:
    Model.load(forged("molecule", tmp_path, lambda statistics: statistics.pop("sizes")))
