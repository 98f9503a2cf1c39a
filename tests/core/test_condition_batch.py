"""Joining, withholding and dropping conditions: other values stay unchanged, and networks ignore padding."""

from __future__ import annotations

import math

import pytest
import torch
from clouds import awaken
from torch import Tensor

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet
from polydiff.core.condition_batch import (
    blank_conditions,
    drop_condition,
    dropout_groups,
    join_conditions,
    same_conditions,
    with_words,
    withhold,
)
from polydiff.core.conditions import ESTIMATE, STEP, Aligned, Classes, Number, Tokens, absent, given
from polydiff.core.space import Euclidean

KINDS = {"label": Classes(4), "height": Number(), "text": Tokens(5), "mel": Aligned(6, every=8)}
LENGTH = 64


def values(n: int, tokens: int, length: int = LENGTH) -> dict[str, Tensor]:
    """Return n values of each kind; some elements are not given."""
    torch.manual_seed(tokens)
    text, mel = torch.randn(n, tokens, 5), torch.randn(n, 6, -(-length // 8))
    text[0, -1], mel[-1, :, 2] = math.nan, math.nan
    return {"label": torch.arange(n) % 5 - 1, "height": torch.randn(n), "text": text, "mel": mel}


@pytest.mark.parametrize("sizes", [((2, 3), (1, 5)), ((1, 4), (3, 4)), ((2, 6), (2, 1), (1, 3))])
def test_a_join_contains_its_parts(sizes: tuple[tuple[int, int], ...]) -> None:
    """Each part is a block of the joined value, and the padding around it is not given."""
    parts = [values(*size) for size in sizes]
    joined = join_conditions(parts)
    assert joined is not None
    first = 0
    for part in parts:
        rows = slice(first, first := first + len(part["label"]))
        for name, value in part.items():
            own = joined[name][rows]
            inside = own[tuple(slice(size) for size in value.shape)]
            assert same_conditions({name: inside}, {name: value})
            assert given(own).sum() == given(value).sum()
    for name, kind in KINDS.items():
        assert kind.mismatch(joined[name], first) is None


def test_values_join_with_blanks_and_with_missing_names() -> None:
    cond = values(2, 3)
    for other in (blank_conditions(KINDS, 2, (LENGTH,)), {}, None):
        joined = join_conditions([cond, other])
        assert joined is not None
        assert same_conditions({name: value[:2] for name, value in joined.items()}, cond)
        assert not any(given(value[2:]).any() for value in joined.values())
    assert join_conditions([None, {}]) is None


def test_dropping_blanks_the_chosen_samples_only() -> None:
    cond = values(3, 4) | {STEP: torch.tensor([-1.0, -2.0, -3.0]), ESTIMATE: torch.randn(3, 1, LENGTH)}
    keep = torch.tensor([True, False, True])
    dropped = drop_condition(cond, keep)
    for name, value in cond.items():
        internal = name.startswith("_")
        assert same_conditions({name: dropped[name][keep]}, {name: value[keep]})
        assert same_conditions({name: dropped[name][~keep]}, {name: value[~keep] if internal else absent(value[~keep])})


def test_withholding_blanks_the_chosen_names_only() -> None:
    cond = values(2, 3)
    left = withhold(cond, {"text", "no such name"})
    assert left == {**cond, "text": left["text"]}
    assert same_conditions({"text": left["text"]}, {"text": absent(cond["text"])})
    assert withhold(None, {"text"}) == {}


def test_blanks_of_kinds_declared_as_integers() -> None:
    assert same_conditions(
        blank_conditions({"a": 3, "b": 0}, 2, ()), blank_conditions({"a": Classes(3), "b": Number()}, 2, ())
    )


def test_names_listed_together_form_one_dropout_group() -> None:
    assert dropout_groups(["b", "a", "d", "c"], {"d", "a"}) == [("a", "d"), ("b",), ("c",)]
    assert dropout_groups(["a"], ()) == [("a",)]
    assert dropout_groups(["a", "_augment"], {"_augment"}) == [("a",)]


CONFIG = UNetConfig(channels=16, mult=(1, 2), strides=(2,), blocks=1, attention=(1,), heads=2, patch=4)


@pytest.mark.parametrize("length", [64, 61])
def test_a_network_ignores_padding_and_treats_dropped_blank_and_none_equally(length: int) -> None:
    torch.manual_seed(0)
    network = awaken(UNet(CONFIG, channels=1, dims=1, conditions=KINDS)).eval()
    x, level, space, cond = torch.randn(2, 1, length), torch.zeros(2), Euclidean(2, (1, length)), values(2, 3, length)
    joined = join_conditions([cond, values(2, 7, 3 * length)])
    assert joined is not None
    padded = {name: value[:2] for name, value in joined.items()}
    assert padded["text"].shape[1] == 7
    assert padded["mel"].shape[2] > cond["mel"].shape[2]
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(network(x, level, space, padded), network(x, level, space, cond), **close)
    nothing = network(x, level, space, None)
    assert (network(x, level, space, cond) - nothing).abs().max() > 1e-4
    for same in (
        blank_conditions(KINDS, 2, (length,)),
        drop_condition(padded, torch.zeros(2, dtype=torch.bool)),
        withhold(cond, cond),
    ):
        torch.testing.assert_close(network(x, level, space, same), nothing, **close)


def test_only_values_that_can_be_text_are_selected() -> None:
    cond = values(2, 3)
    assert with_words(cond, KINDS) == {"label": cond["label"], "height": cond["height"]}
    assert with_words({"mel": cond["mel"]}, KINDS) is with_words(None, KINDS) is None


def test_known_values_of_all_parts_are_withheld_together() -> None:
    names = ["logp", "known.atoms", "C", "known.bonds", "H", "_step"]
    assert dropout_groups(names, ["C", "H"]) == [("C", "H"), ("known.atoms", "known.bonds"), ("logp",)]
    assert dropout_groups(["known", "low"], ["known", "low"]) == [("known", "low")]
