"""Tests of `polydiff.contract.following`: the law of the noise on what a stage follows, and the number of its level."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from polydiff import streams
from polydiff.contract.following import EXACT, NoiseAugmentation, check_level, noisy
from polydiff.contract.tasks.enlarge import Enlarge, block_means
from polydiff.core.conditions import LOW, LOW_LEVEL
from polydiff.support.errors import UserError

NOISE = NoiseAugmentation(0.02, 1.0)


def test_levels_are_zero_or_log_uniform_and_each_depends_on_its_own_generator() -> None:
    n = 4000
    levels = NOISE.draw(streams(0, "level", range(n)))
    assert torch.equal(NOISE.draw(streams(0, "level", [17]))[0], levels[17])
    assert abs(float((levels == 0).double().mean()) - EXACT) < 4 * math.sqrt(EXACT * (1 - EXACT) / n)
    positive = levels[levels > 0].double()
    assert positive.min() >= 0.02
    assert positive.max() <= 1
    shares = ((positive / 0.02).log() / math.log(50)).sort().values
    uniform = (torch.arange(len(shares)).double() + 0.5) / len(shares)
    assert float((shares - uniform).abs().max()) < 1.63 / math.sqrt(len(shares))  # Kolmogorov-Smirnov at 1 %


def test_encoded_levels_grow_with_the_level_and_distinguish_none_from_the_least() -> None:
    levels = torch.tensor([0.0, 0.01, 0.02, 0.05, 0.3, 1.0])
    v = NOISE.encode(levels)
    assert_close(v.exp() - 0.02, levels, rtol=1e-5, atol=1e-7)
    assert (v.diff() > 0.2).all()  # far apart on the scale of the shortest wavelength of a number, 0.5
    assert NOISE.is_exact(v).tolist() == [True] + [False] * 5
    assert not NOISE.is_exact(torch.tensor([math.nan])).item()


def test_noise_has_each_samples_own_level_and_generator() -> None:
    levels, x = torch.tensor([0.0, 0.1, 1.0]), torch.zeros(3, 2, 100, 100)
    made = noisy(x, levels, streams(0, "noise", range(3)))
    assert (made[0] == 0).all()
    assert_close(made.square().mean((1, 2, 3)).sqrt(), levels, rtol=0.03, atol=0)
    assert torch.equal(noisy(x[2:], levels[2:], streams(0, "noise", [2]))[0], made[2])


@pytest.mark.parametrize(
    ("level", "noise", "message"),
    [
        (0.1, None, r"0\.1.*without noise.*data\.noise"),
        (1.5, NOISE, r"1\.5.*up to 1 \(data\.noise\)"),
        (-0.1, NOISE, "finite number of at least 0"),
        (math.nan, None, "finite number of at least 0"),
    ],
)
def test_a_level_that_training_did_not_have_is_an_error(
    level: float, noise: NoiseAugmentation | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_level(level, noise)
    check_level(0.0, noise)
    check_level(0.01, NOISE)


def test_known_means_are_put_back_only_where_they_have_no_noise() -> None:
    task, plain = Enlarge(2, 2, noise=NOISE), Enlarge(2, 2)
    truth = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    exact = task.observe(truth, [])
    assert torch.equal(exact[LOW], block_means(truth, 2))
    levels = torch.tensor([0.0, 0.02, 1.0, 0.0])
    noisy_cond = task.disturbed(exact, levels, streams(0, "noise", range(4)))
    x = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    made = task.finish(x, noisy_cond)
    assert torch.equal(made[1:3], x[1:3])
    assert torch.equal(made[[0, 3]], plain.finish(x, {LOW: exact[LOW]})[[0, 3]])
    assert_close(block_means(made, 2)[[0, 3]], exact[LOW][[0, 3]])


def test_without_noise_the_task_is_what_it_was() -> None:
    assert Enlarge(2, 2).conditions.keys() == {LOW}
    assert Enlarge(2, 2, noise=NOISE).conditions.keys() == {LOW, LOW_LEVEL}
    assert Enlarge(1, 2).observe(torch.zeros(1, 1, 4, 4), []).keys() == {LOW}
