"""judge.json keeps what was judged before with other numbers of examples or settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from polydiff.augmenting.results import Judged, entries, save
from polydiff.support.errors import UserError

FIVE = Judged(
    5, True, {"run5": "ab"}, "accuracy", "higher", "turned", 40, {"real": [0.5, 0.7], "synthetic": [0.8, 0.9]}
)


def test_results_of_other_numbers_and_settings_stay_and_those_of_the_same_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "judge.json"
    twenty, many = replace(FIVE, k=20, runs={"run20": "cd"}), replace(FIVE, k=100)
    save(file, [many])
    save(file, [twenty, FIVE])
    assert entries(file) == [FIVE.as_json(), twenty.as_json(), many.as_json()]
    again = replace(FIVE, scores={"real": [0.1, 0.2], "synthetic": [0.3, 0.4]})
    save(file, [again])
    assert entries(file) == [again.as_json(), twenty.as_json(), many.as_json()]
    others = [
        replace(FIVE, runs={"run5": "other weights"}),
        replace(FIVE, synthetic=80),
        replace(FIVE, measure="accuracy on others"),
        replace(FIVE, scores={"real": [0.5, 0.7, 0.6], "synthetic": [0.8, 0.9, 0.7]}),
    ]
    for n, other in enumerate(others):
        save(file, [other])
        assert [entry["k"] for entry in entries(file)] == [5] * (n + 2) + [20, 100]
        assert other.as_json() in entries(file)
        assert again.as_json() in entries(file)


def test_an_entry_has_means_errors_and_the_verdict() -> None:
    """0.5 and 0.7 have the mean 0.6 and the standard error 0.1."""
    found = FIVE.as_json()
    assert found["mean"] == pytest.approx({"real": 0.6, "synthetic": 0.85})
    assert found["standard_error"] == pytest.approx({"real": 0.1, "synthetic": 0.05})
    assert (found["seeds"], found["best_with"], found["best_without"]) == (2, "synthetic", "real")
    assert (found["verdict"], replace(FIVE, better="lower").verdict) == ("no gain", "no gain")
    assert replace(FIVE, scores={"real": [5.0, 5.1], "synthetic": [1.0, 1.1]}, better="lower").verdict == "gain"


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}', '[{"k": "5"}]', "[{}]"])
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "judge.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"judge\.json holds no results of --judge"):
        save(file, [FIVE])
    assert file.read_text() == text


def test_writing_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "judge.json"
    save(file, [FIVE])
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises((OSError, UserError)):
            save(file, [replace(FIVE, k=20)])
    assert file.read_bytes() == before
    assert json.loads(before) == [FIVE.as_json()]
