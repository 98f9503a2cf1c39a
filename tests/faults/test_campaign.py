"""The push tier of every kind of fault, and the campaign's own counting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import campaign
import pytest
import trial as trials
from trial import Result, Trial, chance_of, kind_names, run_all, trials_of


@pytest.mark.parametrize("name", kind_names())
def test_the_push_tier_passes(name: str) -> None:
    result = run_all(trials_of(name, "push"))
    assert result.trials > 0
    assert result.failures == []


def fail(words: str) -> None:
    raise ValueError(words)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the kind "made_up": ten trials, of which every third fails."""

    def ten(tier: str) -> Iterator[Trial]:
        for seed in range(10):
            yield Trial("made_up", f"{tier} {seed}", seed, partial(fail, f"case {seed}") if seed % 3 == 0 else str)

    monkeypatch.setitem(trials.KINDS, "made_up", ten)
    monkeypatch.setattr(trials.importlib, "import_module", lambda name: None)
    monkeypatch.setattr(campaign, "kind_names", lambda: ["made_up"])


@pytest.mark.usefixtures("made_up")
def test_shares_part_the_trials_and_merging_adds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [tmp_path / f"{i}.json" for i in (1, 2, 3)]
    codes = [campaign.main(["--share", f"{i}/3", "-o", str(path)]) for i, path in enumerate(parts, 1)]
    assert codes == [1, 0, 0]
    assert [json.loads(path.read_text())["kinds"]["made_up"]["trials"] for path in parts] == [4, 3, 3]
    capsys.readouterr()
    assert campaign.main(["--merge", *map(str, parts)]) == 1
    assert "made_up |     10 |      6 | 4 (push 0: ValueError: case 0)" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up")
def test_a_failed_trial_is_repeated_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign.main(["--tier", "release", "--trial", "release 6"]) == 1
    assert "made_up |      1 |      0 | 1 (release 6: ValueError: case 6)" in capsys.readouterr().out


def test_a_trial_that_hangs_has_failed() -> None:
    hangs = Trial("made_up", "hangs", 0, lambda: [None for _ in iter(int, 1)] and None, limit=0.1)
    assert run_all([hangs]).failures == [("hangs", "TimeoutError: not done after 0.1 s")]


def test_random_numbers_follow_the_kind_and_the_seed() -> None:
    numbers = [chance_of(kind, seed).random() for kind, seed in (("a", 1), ("a", 1), ("a", 2), ("b", 1))]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 3


def test_results_add_up() -> None:
    both = Result(3, [("a", "b")], 1.0) + Result(2, [("c", "d")], 0.5)
    assert both == Result(5, [("a", "b"), ("c", "d")], 1.5)
