"""Texts and the numbers of their letters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.domains.sequence.alphabet import MASKED, Alphabet, read, spell

TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters=MASKED), max_size=12), min_size=1)


@given(TEXTS, st.sampled_from(["characters", "bytes"]))
def test_decoding_undoes_encoding(texts: list[str], tokens: str) -> None:
    spelled = [spell(text, tokens) for text in texts]
    alphabet = Alphabet("".join(sorted({letter for text in spelled for letter in text})), True, tokens)
    length = max(map(len, spelled)) + 1
    numbers = alphabet.encode(spelled, length)
    assert numbers.shape == (len(texts), length)
    assert alphabet.decode(numbers) == texts
    assert (numbers == alphabet.size - 1).sum() == len(texts) * length - sum(map(len, spelled))


def test_letters_have_the_numbers_of_their_places() -> None:
    alphabet = Alphabet("+12é", True)
    assert alphabet.encode(["2+é", ""], 4).tolist() == [[2, 0, 3, 4], [4, 4, 4, 4]]
    assert alphabet.size == 5


def test_what_follows_the_first_end_letter_is_not_read() -> None:
    alphabet = Alphabet("ab", True)
    assert alphabet.decode(torch.tensor([[0, 2, 1, 1], [1, 1, 0, 0], [2, 0, 0, 0], [0, 1, -1, -1]])) == [
        *("a", "bbaa", "", "ab")
    ]


def test_masked_letters_are_shown_as_such() -> None:
    assert Alphabet("ab", True).decode(torch.tensor([[0, 3, 1, 2]])) == [f"a{MASKED}b"]
    assert Alphabet("ab", False).decode(torch.tensor([[0, 2, 1, 1]])) == [f"a{MASKED}bb"]


def test_a_letter_of_bytes_is_a_byte_of_utf_8() -> None:
    assert [ord(letter) for letter in spell("aé☃", "bytes")] == list("aé☃".encode())
    assert read(spell("aé☃", "bytes"), "bytes") == "aé☃"
    assert read("a\xc3", "bytes") == "a\ufffd"  # half of a character


def test_frequencies_are_those_of_all_sites() -> None:
    """Texts ab and b of 4 letters have 1 a, 2 b and 5 end letters."""
    assert Alphabet("ab", True).frequencies(["ab", "b"], 4) == [1 / 8, 2 / 8, 5 / 8]
    assert Alphabet("ab", False).frequencies(["abb"], 7) == [1 / 3, 2 / 3]


def test_frequencies_agree_with_the_encoded_letters(sums: object) -> None:
    statistics = sums.statistics  # type: ignore[attr-defined]
    alphabet, train = Alphabet.of(statistics), sums.source.splits["train"]  # type: ignore[attr-defined]
    numbers = alphabet.encode(train.spelled(range(len(train))), statistics["length"]).flatten()
    counts = numbers.bincount(minlength=alphabet.size).numpy()
    assert np.array(statistics["frequencies"]) == pytest.approx(counts / counts.sum(), abs=1e-12)


def test_the_first_unknown_letter_is_named() -> None:
    assert Alphabet("ab", True).lacks("abcd") == "c"
    assert Alphabet("ab", True).lacks("abba") == ""
