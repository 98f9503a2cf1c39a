"""Conditions of data: from words to tensors and back, and new ones that occur as often as in training."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.contract.fields import KEPT, Embedding, Field, Labels, Real, from_json, meanings, rounded, to_json
from polydiff.core.conditions import ANY, Number, Tokens
from polydiff.core.streams import streams
from polydiff.support.errors import UserError

FIELDS: dict[str, Field] = {
    "label": Labels(("cat", "dog", "emu"), (1, 3, 0)),
    "tempo": Real(100.0, 20.0, (80.0, 90.0, 130.0)),
    "text": Embedding(4, 3, 0.5),
}


def vectors(n: int) -> np.ndarray:
    return np.arange(4 * n, dtype=np.float32).reshape(n, 4) + 1


VALUES: dict[str, list[Any]] = {
    "label": ["dog", None, "cat"],
    "tempo": [80, None, 123.5],
    "text": [vectors(2), None, vectors(3)],
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_value_is_encoded_as_not_given(name: str) -> None:
    cond = FIELDS[name].encode(VALUES[name])
    missing = cond == -1 if name == "label" else cond.isnan()
    assert missing.flatten(1).all(1).tolist() == [False, True, False] if cond.ndim > 1 else missing.tolist()
    assert FIELDS[name].words(cond)[1] == ANY


def test_words_undo_encoding() -> None:
    assert FIELDS["label"].words(FIELDS["label"].encode(VALUES["label"])) == ["dog", "any", "cat"]
    words = FIELDS["tempo"].words(FIELDS["tempo"].encode(VALUES["tempo"]))
    assert list(map(str, words)) == ["80", "any", "123.5"]
    assert list(map(str, map(rounded, (-0.5, 127.0, 3e38, math.inf)))) == ["-0.5", "127", "3e+38", "inf"]
    cond = FIELDS["text"].encode(VALUES["text"])
    assert cond.shape == (3, 3, 4)
    torch.testing.assert_close(0.5 * cond[2], torch.from_numpy(vectors(3)))
    assert bool(cond[0, 2].isnan().all())
    assert FIELDS["text"].words(cond) == ["2 vectors", "any", "3 vectors"]


def test_fields_survive_json() -> None:
    again = from_json(json.loads(json.dumps(to_json(FIELDS))))
    assert again == FIELDS
    assert meanings(again) == {"label": ["cat", "dog", "emu"], "tempo": Number(), "text": Tokens(4)}


@pytest.mark.parametrize("name", FIELDS)
def test_a_draw_follows_its_generator_alone(name: str) -> None:
    many = FIELDS[name].draw(streams(0, "blank", range(50)))
    few = FIELDS[name].draw(streams(0, "blank", [7, 31]))
    torch.testing.assert_close(few, many[[7, 31]], equal_nan=True)


def test_draws_occur_as_in_training() -> None:
    drawn = torch.bincount(FIELDS["label"].draw(streams(0, "blank", range(4000))), minlength=3)
    assert drawn[2] == 0
    assert float(drawn[1]) == pytest.approx(3000, abs=4 * math.sqrt(4000 * 3 / 16))
    numbers = FIELDS["tempo"].words(FIELDS["tempo"].draw(streams(0, "blank", range(3000))))
    assert all(numbers.count(value) == pytest.approx(1000, abs=105) for value in (80, 90, 130))
    assert bool(FIELDS["text"].draw(streams(0, "blank", range(3))).isnan().all())


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(0, 5)), min_size=1, max_size=60))
def test_a_number_is_measured_as_if_each_example_stood_as_often_as_it_occurs(pairs: list[tuple[float, int]]) -> None:
    pairs.append((1.0, 1))
    values, weights = zip(*pairs, strict=True)
    repeated = np.repeat(values, weights)
    field = Real.measure(values, weights)
    assert field.mean == pytest.approx(repeated.mean(), abs=1e-9)
    if repeated.std() > 1e-2:
        assert field.std == pytest.approx(repeated.std(), rel=1e-6)
    assert set(field.values) <= set(repeated.tolist())


def test_the_numbers_kept_are_quantiles_of_the_data() -> None:
    values = (np.random.default_rng(0).gamma(2.0, size=20_000)).tolist()
    kept = Real.measure(values, [1] * 20_000).values
    assert len(kept) == KEPT
    np.testing.assert_allclose(kept, np.quantile(values, (np.arange(KEPT) + 0.5) / KEPT), atol=2e-2)
    constant = Real.measure([7.0, 7.0], [1, 1])
    assert constant.encode([7.0, 8.0]).tolist() == [0, 1]


def test_classes_of_held_out_examples_have_a_place_but_are_not_drawn() -> None:
    field = Labels.measure(["b", "a", "c", None, "b"], [2, 1, 0, 5, 3])
    assert field == Labels(("a", "b", "c"), (1, 5, 0))


def test_a_request_is_encoded_for_each_sample(tmp_path: Path) -> None:
    assert FIELDS["label"].request("label", "emu", 2).tolist() == [2, 2]
    assert FIELDS["tempo"].request("tempo", "120", 2).tolist() == [1, 1]
    np.save(tmp_path / "one.npy", vectors(1)[0])
    np.save(tmp_path / "many.npy", vectors(9))
    one, tensor = (
        FIELDS["text"].request("text", x, 2) for x in (str(tmp_path / "one.npy"), torch.from_numpy(vectors(1)))
    )
    torch.testing.assert_close(one, tensor, equal_nan=True)
    assert FIELDS["text"].words(one) == ["1 vector"] * 2
    assert FIELDS["text"].request("text", str(tmp_path / "many.npy"), 2).shape == (2, 9, 4)
    for name, field in FIELDS.items():
        assert field.words(field.request(name, "any", 2)) == ["any", "any"]


def test_values_without_meaning_raise_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((2, 5)))
    np.save(tmp_path / "words.npy", np.array(["a b c d"]))
    np.save(tmp_path / "nan.npy", np.full(4, np.nan))
    np.savez(tmp_path / "several.npz", a=np.ones(4))
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    wrong = {
        "label": ["dogs"],
        "tempo": ["fast", "inf"],
        "text": [torch.ones(3, 5), torch.ones(1, 1, 4), np.array([list("abcd")])],
    }
    wrong["text"] += [str(tmp_path / f"{name}.npy") for name in ("wide", "words", "nan", "torn", "missing")]
    wrong["text"].append(str(tmp_path / "several.npz"))
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(UserError, match=rf"{name}|\.np[yz]"):
                FIELDS[name].request(name, value, 1)


def test_a_decimal_comma_in_a_request_is_explained() -> None:
    with pytest.raises(UserError, match=r"tempo=60,5 should be a number, or any\. Write 60\.5\.$"):
        FIELDS["tempo"].request("tempo", "60,5", 1)
    with pytest.raises(UserError, match=r"tempo=fast should be a number, or any\.$"):
        FIELDS["tempo"].request("tempo", "fast", 1)


def test_a_number_far_outside_of_the_data_gives_a_warning() -> None:
    field = Real(100.0, 20.0, (80.0, 90.0, 130.0))
    for far in (59.0, 151.0, -100.0):
        with pytest.warns(UserWarning, match=rf"tempo={far:g} is far outside of the training data, .* are 80 to 130"):
            field.request("tempo", far, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for near in (60.0, 100, "150", ANY):
            field.request("tempo", near, 2)
