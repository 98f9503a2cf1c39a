"""What `polydiff data check` says of files of texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polydiff.config.merge import resolve
from polydiff.domains.sequence.data.inspect import shown_letters
from polydiff.domains.sequence.domain import SequenceDomain

WORDS = [a + b + c for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh"]


def test_facts_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = (f"{word},{'xy'[i % 2]},{i},note {i},same" for i, word in enumerate(WORDS))
    path.write_text("\n".join(["text,family,mass,note,source", *rows]))
    keys = {"data.path": path, "data.conditions": ["family"]}
    found = SequenceDomain.inspect(resolve("sequence", values=keys).config, ())
    assert not found.problems
    assert found.facts["letters"] == "8 characters: abcdefgh"
    assert found.facts["train examples"] + found.facts["test examples"] == 512
    assert found.facts["letters of a training text"] == {"least": 3, "half": 3.0, "greatest": 3}
    assert found.facts["other columns"].startswith("mass, note:text; data.conditions=family,mass,note:text")
    assert found.facts["conditions"] == {"family": "2 classes"}


def test_problems_are_told(tmp_path: Path) -> None:
    keys = {"data.path": tmp_path / "none.txt"}
    found = SequenceDomain.inspect(resolve("sequence", values=keys).config, ())
    assert found.problems == [f"data.path={tmp_path / 'none.txt'}: there is no such file or folder."]


def test_facts_of_crops(novel: Path, opened: Callable[..., SequenceDomain]) -> None:
    keys = {"data.path": novel, "data.crops": True, "data.length": 8}
    facts = SequenceDomain.inspect(resolve("sequence", values=keys).config, ()).facts
    assert facts["read as"] == "8 letters an example (data.length)"
    assert "known by heart" not in facts


def test_letters_that_cannot_be_seen_are_shown_by_signs() -> None:
    assert shown_letters("\t\n a") == "⇥⏎␣a"
    assert shown_letters("".join(map(chr, range(200, 320)))).endswith(" and 20 more")
