"""Tokenizers: round trips, the published example of byte-pair encoding, and what each ignores."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydiff.contract.text.tokenizers import TOKENIZERS, Bytes, Pairs, Words, learned_merges, plain, words

SENNRICH = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
"""The words of figure 1 of Sennrich et al. (2016), as often as they occur there."""
CAPTIONS = ["a small red circle", "a large red square at the top", "ein Kreis", "红色的圆"]


def test_byte_pairs_are_merged_in_the_order_of_the_published_example() -> None:
    spelled = Pairs.learn(SENNRICH, 256 + 6).spelled[256:]
    # the paper's order up to pairs of equal frequency: e s, es t, l o, lo w, n e, ...; no mark of a word's end here
    assert list(spelled[:4]) == [b"es", b"est", b"lo", b"low"]


@given(st.lists(st.sampled_from(["ab", "abab", "abc", "cab", "bb", "b"]), min_size=1), st.integers(0, 12))
def test_merges_equal_those_of_a_count_from_scratch_at_each_step(texts: list[str], most: int) -> None:
    sequences, merges = [list(text.encode()) for text in texts], []
    for token in range(256, 256 + most):
        counts: dict[tuple[int, int], int] = {}
        for sequence in sequences:
            for pair in pairwise(sequence):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for sequence in sequences:
            i = 0
            while i < len(sequence) - 1:
                if (sequence[i], sequence[i + 1]) == best:
                    sequence[i : i + 2] = [token]
                i += 1
    assert learned_merges([list(text.encode()) for text in texts], [1] * len(texts), most) == merges


@given(st.text(st.characters(exclude_categories=["Cs"])))
@pytest.mark.parametrize("tokenizer", [Bytes.learn(CAPTIONS, 0), Pairs.learn(CAPTIONS * 3, 300)], ids=["bytes", "bpe"])
def test_bytes_and_byte_pairs_write_every_text(tokenizer: Pairs, text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == plain(text)
    assert all(0 <= token < tokenizer.size for token in tokens)


def test_learned_pairs_shorten_the_captions_that_they_were_learned_from() -> None:
    pairs = Pairs.learn(CAPTIONS * 3, 320)
    assert sum(len(pairs.encode(c)) for c in CAPTIONS) < 0.6 * sum(len(c.encode()) for c in CAPTIONS)


def test_words_ignore_case_and_punctuation_and_part_scripts_without_spaces() -> None:
    assert words("A small, RED circle. «C# is a t-shirt!»") == [
        "a",
        "small",
        "red",
        "circle",
        "c#",
        "is",
        "a",
        "t-shirt",
    ]
    assert words("红色的圆") == ["红", "色", "的", "圆"]
    assert words("Straße") == words("STRASSE")
    assert words(" ... ") == []


def test_a_word_outside_of_the_vocabulary_is_reported_and_has_the_token_zero() -> None:
    tokenizer = Words.learn(CAPTIONS, 100)
    assert tokenizer.unknown("a purple Circle") == ["purple"]
    assert tokenizer.encode("a purple circle")[1] == Words.UNKNOWN
    assert tokenizer.decode(tokenizer.encode("a red circle")) == "a red circle"


def test_a_small_vocabulary_keeps_the_most_frequent_words() -> None:
    tokenizer = Words.learn(["a a a b b c"], 3)
    assert (tokenizer.vocabulary, tokenizer.size) == (["a", "b"], 3)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_is_made_again_from_its_vocabulary(name: str) -> None:
    learned = TOKENIZERS[name].learn(CAPTIONS * 2, 300)
    again = TOKENIZERS[name](learned.vocabulary)
    assert [again.encode(caption) for caption in CAPTIONS] == [learned.encode(caption) for caption in CAPTIONS]
