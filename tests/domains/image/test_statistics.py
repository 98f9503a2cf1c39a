"""Statistics in a checkpoint of images: what is damaged or implausible is one error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forged import forged, put

from polydiff.cli import main
from polydiff.contract.data.statistics import check_statistics
from polydiff.domains.image.statistics import ImageStatistics
from polydiff.model.model import Model
from polydiff.support.errors import UserError


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("counts", [[1]], r"counts\.0"),
        ("counts", [1] * 9, "counts has 9 numbers, but names has 10 classes"),
        ("counts", [1] * 9 + [-1], r"counts\.9"),
        ("counts", [1] * 9 + [0.5], r"counts\.9"),
        ("counts", [1] * 9 + [True], r"counts\.9"),
        ("counts", [0] * 10, "counts should not all be 0"),
        ("counts.3", 10**30, r"counts\.3"),
        ("names", list(range(10)), r"names\.0"),
        ("names", ["0"] * 10, "names holds a class twice"),
        ("names", [str(i) for i in range(11)], "counts has 10 numbers, but names has 11 classes"),
        ("names", "0123456789", "names"),
        ("names", [], "counts has 10 numbers, but names has 0 classes"),
        ("std", 0, "std"),
        ("std", -0.7, "std"),
        ("std", 70.0, "std"),
        ("std", float("nan"), "NaN"),
        ("std", [0.7], "std"),
        ("std", "0.7", "std"),
        ("std", None, "std"),
        ("mean", [], "mean"),
        ("mean", [0.0, 0.0], "mean has 2 numbers, but images have 1 channels"),
        ("mean", [5.0], r"mean\.0"),
        ("mean", [[0.0]], r"mean\.0"),
        ("mean", 0.0, "mean"),
        ("principal_std", "wide", "principal_std"),
        ("principal_std", -1.0, "principal_std"),
    ],
)
def test_damaged_statistics_are_one_error(key: str, value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        Model.load(forged("image", tmp_path, put(key, value)))


MISSING = {"mean": "mean: field required", "std": "std: field required"} | dict.fromkeys(
    ("names", "counts"), "conditions is missing"
)


@pytest.mark.parametrize("key", MISSING)
def test_missing_statistics_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=MISSING[key]):
        Model.load(forged("image", tmp_path, lambda statistics: statistics.pop(key)))


def test_right_statistics_load(tmp_path: Path) -> None:
    unknown = forged("image", tmp_path, put("of_a_later_version", [1, "a"]))
    assert len(Model.load(unknown).sample(2, seed=0, steps=2)) == 2


@pytest.mark.parametrize("verb", ["sample", "train"])
def test_damage_is_one_line_with_exit_code_2(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(forged("image", tmp_path, put("counts", [[1]])))
    small = ("backbone.channels=8", "backbone.mult=1,1", "backbone.blocks=1", "backbone.heads=2", "train.steps=1")
    words = {
        "sample": ["sample", path, "-n", "1", "-o", str(tmp_path / "samples")],
        "train": ["train", "--domain", "image", f"train.init={path}", *small, "-o", str(tmp_path / "run")],
    }[verb]
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "its statistics do not fit the domain image: counts.0: " in lines[-1]
    assert not any("Traceback" in line for line in lines)


TEXT = {"type": "text", "tokens": "words", "vocabulary": ["a", "red"], "longest": 3, "kept": ["a red"]}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tokens", "letters", "tokens"),
        ("vocabulary", ["a", "a"], "different words"),
        ("vocabulary", [[1, 2]], "different words"),
        ("vocabulary", "ab", "vocabulary"),
        ("longest", 0, "longest"),
        ("longest", 10**9, "longest"),
        ("kept", [], "kept"),
        ("kept", [1], "kept"),
    ],
)
def test_damaged_captions_are_one_error(key: str, value: Any, words: str) -> None:
    right = {"mean": [0.0], "std": 0.5, "conditions": {"text": TEXT}}
    check_statistics(ImageStatistics, right)
    with pytest.raises(ValueError, match=words):
        check_statistics(ImageStatistics, {**right, "conditions": {"text": {**TEXT, key: value}}})


def test_pairs_of_later_tokens_are_damaged() -> None:
    for vocabulary in ([[256, 1]], [[1, 2], [257, 3]], [[1]], ["a"]):
        text = {**TEXT, "tokens": "bpe", "vocabulary": vocabulary}
        with pytest.raises(ValueError, match="vocabulary"):
            check_statistics(ImageStatistics, {"mean": [0.0], "std": 0.5, "conditions": {"text": text}})
