"""Tests of `polydiff.contract.tasks`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from polydiff import streams
from polydiff.contract import abilities, editing, tasks
from polydiff.contract.tasks.enlarge import Enlarge, block_means
from polydiff.contract.tasks.inpaint import Inpaint, InpaintLetters, draw_mask
from polydiff.contract.tasks.task import Generate, with_task_conditions
from polydiff.core.conditions import KNOWN, LOW, Kind, Number
from polydiff.support.errors import UserError


@given(st.lists(st.integers(2, 40), min_size=1, max_size=3), st.integers(0, 10_000))
def test_a_mask_leaves_something_to_make(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(sizes, generator)
    assert mask.shape == tuple(sizes)
    assert mask.dtype == torch.bool
    assert not mask.all()
    assert torch.equal(draw_mask(sizes, torch.Generator().manual_seed(seed)), mask)


@pytest.mark.parametrize("sizes", [(400,), (20, 20)])
def test_masks_have_the_documented_kinds_and_shares(sizes: tuple[int, ...]) -> None:
    n, places = 2000, torch.Size(sizes).numel()
    masks = torch.stack([draw_mask(sizes, g) for g in streams(0, "mask", range(n))])
    shares = masks.flatten(1).double().mean(1)
    assert abs((shares == 0).double().mean() - 0.1) < 0.03
    edge = masks[:, 0] if len(sizes) == 1 else masks[:, 0, :].all(1) | masks[:, -1, :].all(1) | masks[:, :, 0].all(1)
    assert 0.5 < edge.double().mean() < 0.95
    gap = 1 - shares[(shares > 0) & (shares < 1)]
    assert gap.min() >= 0.5 / places
    assert (gap < 0.1).double().mean() > 0.1
    assert (gap > 0.5).double().mean() > 0.1
    if len(sizes) == 1:
        rises = (masks[:, 1:] & ~masks[:, :-1]).sum(1)
        assert int(rises.max()) <= 3
        beginnings = (rises == 0) & masks[:, 0]
        assert (beginnings & (shares > 0.5)).double().mean() > 0.04


def test_the_condition_is_the_known_part_and_depends_on_an_examples_own_generator() -> None:
    x = torch.randn(6, 2, 30)
    observed = Inpaint(2).observe(x, streams(0, "mask", range(6)))[KNOWN]
    assert observed.shape == x.shape
    gone = observed.isnan()
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert torch.equal(observed[~gone], x[~gone])
    alone = Inpaint(2).observe(x[4:], streams(0, "mask", range(4, 6)))[KNOWN]
    assert torch.equal(alone.nan_to_num(7), observed[4:].nan_to_num(7))
    assert Generate().observe(x, streams(0, "mask", range(6))) == {}


@pytest.mark.parametrize(("channels", "sizes"), [(0, (30,)), (3, (9, 14))])
def test_known_letters_are_those_of_the_state_and_the_rest_are_not_given(channels: int, sizes: tuple[int, ...]) -> None:
    task = InpaintLetters(5, len(sizes), channels, usual=2)
    shape = (6, *((channels,) if channels else ()), *sizes)
    x = torch.randint(5, shape, generator=torch.Generator().manual_seed(0))
    observed = task.observe(x, streams(0, "mask", range(6)))
    value, kind = observed[KNOWN], task.conditions[KNOWN]
    assert kind.mismatch(value, 6) is None
    assert kind.blank(6, sizes).shape == value.shape
    assert not kind.in_range(torch.full_like(value, 5))
    here = value >= 0
    assert 0 < int(here.sum()) < value.numel()
    assert torch.equal(value[here], x[here])
    if channels:
        assert bool((here == here[:, :1]).all())
    guess = task.guess(observed, sizes)
    assert set(guess[~here].tolist()) == {2}
    other = (x + 1) % 5
    assert torch.equal(task.finish(other, observed), torch.where(here, x, other))


def bounded(channels: int = 1, factor: int = 2, low: float = -0.5, high: float = 2.0) -> Enlarge:
    return Enlarge(channels, factor, (low,) * channels, (high,) * channels)


@given(st.integers(0, 10_000), st.sampled_from([(8, 8), (7, 9), (13,)]), st.floats(0.1, 5))
def test_known_block_means_are_kept_within_the_bounds_of_decoded_values(
    seed: int, sizes: tuple[int, ...], noise: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    task = bounded(2, 3)
    truth = (torch.rand(2, 2, *sizes, generator=g) * 5 - 1.5).clamp(-0.5, 2)
    observed = task.observe(truth, [])
    made = task.finish(truth + noise * torch.randn(truth.shape, generator=g), observed)
    assert made.dtype == truth.dtype
    assert made.min() >= -0.5
    assert made.max() <= 2
    assert_close(block_means(made, 3), observed[LOW], rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [-0.5, 2.0])
def test_a_block_at_a_bound_has_this_value_everywhere(value: float) -> None:
    x = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert (bounded().finish(x, {LOW: torch.full((1, 1, 2, 2), value)}) == value).all()


def test_no_state_with_these_means_within_the_bounds_is_nearer() -> None:
    g = torch.Generator().manual_seed(0)
    x, task = 3 * torch.randn(1, 1, 2, 2, generator=g).double(), bounded()
    observed = {LOW: torch.full((1, 1, 1, 1), 1.2).double()}
    made = task.finish(x, observed)
    others = torch.rand(20_000, 1, 2, 2, generator=g).double() * 2.5 - 0.5
    others = task.finish(others, {LOW: observed[LOW].expand(20_000, 1, 1, 1)})
    assert float((made - x).norm()) <= float((others - x).flatten(1).norm(dim=1).min()) + 1e-6


def test_means_that_no_clipping_disturbs_are_reached_by_a_shift() -> None:
    x = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    observed = {LOW: block_means(x, 2) + 0.1}
    assert torch.equal(bounded().finish(x, observed), Enlarge(1, 2).finish(x, observed))


def test_a_condition_of_the_data_with_the_name_of_the_tasks_is_an_error() -> None:
    own: dict[str, Kind] = {"caption": Number()}
    assert with_task_conditions(own, Inpaint(1)).keys() == {"caption", KNOWN}
    with pytest.raises(UserError, match=r"The condition known is that of the task\. Rename the column known\."):
        with_task_conditions({**own, KNOWN: Number()}, Inpaint(1))


def test_what_moved_into_modules_of_its_own_keeps_its_path() -> None:
    for name in (
        "Enlarge",
        "block_means",
        "enlarged",
        "spread_blocks",
        "Inpaint",
        "InpaintLetters",
        "box",
        "draw_mask",
    ):
        assert getattr(tasks, name).__module__.startswith("polydiff.contract.tasks."), name
    for name, ability in vars(editing).items():
        if getattr(ability, "__module__", "") == editing.__name__:
            assert getattr(abilities, name) is ability
