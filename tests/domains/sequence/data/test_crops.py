"""Crops of one long text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydiff.core.streams import streams
from polydiff.domains.sequence.data.crops import Crops
from polydiff.domains.sequence.domain import SequenceDomain
from polydiff.support.errors import UserError

Opened = Callable[..., SequenceDomain]


def test_training_crops_lie_anywhere_in_the_first_part_and_no_test_crop_overlaps_them(
    novel: Path, opened: Opened
) -> None:
    text, length = novel.read_text(), 16
    domain = opened(**{"data.path": novel, "data.crops": True, "data.length": length})
    border = round(0.8 * len(text))
    drawn = domain.source.splits["train"].spelled([0] * 4000, streams(0, "crops", range(4000)))
    places = {text.index(crop) for crop in drawn}
    assert min(places) < 10
    assert border - length - 10 < max(places) <= border - length
    assert len(places) > 0.85 * (1 - 1 / 2.72) * (border - length)  # of n places, n (1 - e^-2.5) are expected
    test = domain.source.splits["test"]
    held = test.spelled(range(len(test)))
    assert [text.index(crop) for crop in held] == [border + length * i for i in range(len(held))]
    assert len(held) == (len(text) - border) // length


def test_without_generators_crops_lie_one_behind_the_other() -> None:
    assert Crops("abcdefg", 3).spelled([0, 1]) == ["abc", "def"]
    assert len(Crops("abcdefg", 3)) == 2


def test_there_is_no_end_letter(novel: Path, opened: Opened) -> None:
    domain = opened(**{"data.path": novel, "data.crops": True, "data.length": 8})
    x = domain.batch("train", range(64), streams(0, "augment", range(64))).x
    assert domain.alphabet.size == 15 == x.max() + 1
    assert all(len(text) == 8 for text in domain.decode(x, domain.space(64, 8)))
    assert "length_error" not in domain.evaluate(domain.examples("test", 8))


def test_bytes_of_any_file_can_be_cropped(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "data.txt"
    path.write_bytes(bytes(range(256)) * 40)
    domain = opened(**{"data.path": path, "data.crops": True, "data.length": 8, "data.tokens": "bytes"})
    assert domain.alphabet.size == 256
    text = "".join(domain.source.splits["train"].whole())
    assert text.encode("latin-1") == (bytes(range(256)) * 40)[: len(text)]


def test_test_crops_with_a_letter_that_training_lacks_are_left_out(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ab" * 400 + "abababab" * 10 + "abaZabab" + "abababab" * 14)
    domain = opened(**{"data.path": path, "data.crops": True, "data.length": 8})
    assert domain.alphabet.letters == "ab"
    assert domain.size("test") == 24
    assert domain.quarantine is not None
    assert (domain.quarantine.found, domain.quarantine.left_out) == (1000, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab" * 20, "has 40 letters, of which 8 are held out. Each part needs at least data.length=16"),
        ("a" * 400, "at least two different letters"),
        ("ab" * 80 + "c" * 40, "each held-out crop has a letter that the training part lacks"),
    ],
)
def test_a_text_that_cannot_be_trained_on(tmp_path: Path, opened: Opened, text: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        opened(**{"data.path": path, "data.crops": True, "data.length": 16})
