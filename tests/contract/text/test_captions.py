"""Captions as a condition: stated rules for unknown words, long and empty texts, and other scripts."""

from __future__ import annotations

import json

import pytest
import torch

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.fields import from_json, to_json
from polydiff.contract.text.captions import Captions
from polydiff.core.conditions import Text
from polydiff.core.streams import streams
from polydiff.support.errors import UserError

TRAIN = ["a small red circle", "a large blue square", None, "", "a red square"]


def field(tokens: str = "words") -> Captions:
    return Captions.measure(TRAIN, [1] * len(TRAIN), tokens)


@pytest.mark.parametrize("tokens", ["words", "bytes", "bpe"])
def test_captions_survive_tensors_and_json(tokens: str) -> None:
    made = field(tokens)
    again = from_json(json.loads(json.dumps(to_json({"text": made}))))["text"]
    cond = made.encode(TRAIN)
    assert torch.equal(again.encode(TRAIN), cond)
    assert again.words(cond) == ["a small red circle", "a large blue square", "any", "any", "a red square"]
    assert again.kind == made.kind
    assert made.kind.mismatch(cond, len(TRAIN)) is None


def test_a_text_of_the_request_is_that_of_the_data() -> None:
    assert torch.equal(field().request("text", "A small red circle!", 2), field().encode(["a small red circle"] * 2))
    assert bool((field().request("text", "any", 3) == -1).all())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("a smal red circle", r"'smal' does not occur .* Did you mean 'small' for 'smal'\? Known: a, .*, square\.$"),
        ("", r"holds no word\. Write a text, or text=any"),
        (" .. ", "holds no word"),
        ("a red red red circle", r"has 5 words, and the longest caption of training has 4"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_never_cut(wanted: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        field().request("text", wanted, 1)


def test_a_large_vocabulary_is_not_listed_but_byte_pairs_are_advised() -> None:
    texts = [f"word{i} word{i + 1}" for i in range(100)]
    many = Captions.measure(texts, [1] * 100, "words", 4000, 4)
    with pytest.raises(UserError, match=r"'x' does not occur .* data\.text\.tokens=bpe takes any text\.$"):
        many.request("text", "x", 1)


def test_byte_pairs_take_words_and_scripts_that_training_lacks() -> None:
    made = field("bpe")
    assert made.words(made.request("text", "ein 红 圆", 1)) == ["ein 红 圆"]


def test_a_caption_of_the_data_beyond_the_limit_stops_with_an_example() -> None:
    with pytest.raises(UserError, match=r"1 caption has more than data\.text\.longest=3 words, such as 'a b c d'"):
        Captions.measure(["a b c d", "a b"], [1, 1], longest=3)


def test_held_out_captions_add_no_word_but_their_length() -> None:
    made = Captions.measure(["red", "a very long blue caption"], [1, 0])
    assert made.vocabulary == ("red",)
    assert made.kind == Text(2, 5)
    assert made.encode(["a red one"]).tolist() == [[0, 1, 0, -1, -1]]


def test_new_samples_have_captions_as_often_as_training() -> None:
    made = Captions.measure(["red"] * 3 + ["blue"], [1] * 4)
    drawn = made.words(made.draw(streams(0, "draw", range(400))))
    assert drawn.count("red") == pytest.approx(300, abs=4 * (400 * 0.75 * 0.25) ** 0.5)


@pytest.mark.parametrize("tokens", ["words", "bytes", "bpe"])
@pytest.mark.parametrize(
    ("wanted", "message"),
    [("a \udcff", "is not text in UTF-8"), (None, "should be a text, or text=any"), (b"a", "should be a text")],
)
def test_what_is_no_text_is_no_request(tokens: str, wanted: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        field(tokens).request("text", wanted, 1)


@pytest.mark.parametrize(
    ("changed", "message"), [({"longest": 2}, "no text of more than longest=2"), ({"kept": ["a \ud83d"]}, "UTF-8")]
)
def test_statistics_whose_texts_cannot_be_drawn_are_invalid(changed: dict[str, object], message: str) -> None:
    saved = to_json({"text": field()})
    with pytest.raises(ValueError, match=message):
        from_json({"text": saved["text"] | changed})


@pytest.mark.parametrize(
    ("tokens", "new", "message"),
    [
        ("words", ["a green circle", "a dog"], r"it lacks 2 of the words of these captions \('dog', 'green'\)"),
        ("bpe", ["a green circle"], "it keeps data.text.tokens=words, not bpe"),
    ],
)
def test_words_that_a_kept_vocabulary_lacks_are_a_warning(tokens: str, new: list[str], message: str) -> None:
    other = Captions.measure(new, [1] * len(new), tokens)
    with pytest.warns(UserWarning, match=message):
        DataConditions({"text": field()}).warn_of_unknown({"text": other})


def test_a_vocabulary_that_knows_all_words_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    DataConditions({"text": field()}).warn_of_unknown({"text": Captions.measure(["a red circle"], [1])})
    assert not recwarn
