"""Tests of `polydiff.looking.views.one_step`: the error of exact estimates against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from exact_model import exact_model

from polydiff.core.space import Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.looking.subject import LEVELS, Subject
from polydiff.looking.views.one_step import one_step
from polydiff.testing.analytic import GaussianMixture


def normal(variance: float) -> GaussianMixture:
    return GaussianMixture(torch.tensor([[0.5, -0.5]]), torch.full((1, 2), variance))


def test_the_error_of_normal_data_is_that_of_the_closed_form() -> None:
    variance, n = 0.49, 4096
    subject = Subject(exact_model(normal(variance), train=4096))
    numbers = range(n)
    batch = subject.model.domain.batch("test", numbers, streams(0, "augment", numbers))
    found = one_step(subject, batch)
    exact = [s**2 / (s**2 + variance) for s in found.levels]
    assert len(found.levels) == LEVELS
    assert found.relative.tolist() == pytest.approx(exact, rel=0.05)
    assert found.half == pytest.approx(math.sqrt(variance), rel=0.1)


def test_each_estimate_is_the_posterior_mean_given_the_noisy_example_that_is_shown() -> None:
    mixture = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.full((2, 2), 0.04))
    subject = Subject(exact_model(mixture))
    batch = subject.held_out(4)
    found = one_step(subject, batch, shown=3)
    for level, noisy, estimate in zip(found.levels, found.noisy, found.estimates, strict=True):
        assert len(noisy) == len(estimate) == 3
        x = torch.stack(list(noisy)) * math.hypot(1.0, level)  # shown at the spread of the data
        exact = mixture.mean(x, torch.tensor([level]).expand(3))
        torch.testing.assert_close(torch.stack(list(estimate)).double(), exact, rtol=0, atol=1e-4 * (1 + level))


def test_conditions_enter_the_estimates() -> None:
    means, variances = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.full((2, 2), 0.01)
    subject = Subject(exact_model(GaussianMixture(means, variances, labels=torch.tensor([0, 1]))), cond={"label": 1})
    assert subject.examples().cond is not None
    assert subject.examples().cond["label"].tolist() == [1, 1, 1, 1]
    found = one_step(subject, subject.examples())
    lost = torch.stack(list(found.estimates[0]))  # all is lost in noise but the requested class
    torch.testing.assert_close(lost, means[1].expand(4, 2), rtol=0, atol=0.05)


def test_examples_of_other_sizes_are_compared_with_zero() -> None:
    subject = Subject(exact_model(normal(1.0)))
    batch = subject.held_out(8)
    wide = batch._replace(x=batch.x.repeat(1, 2), space=Euclidean(8, (4,)))
    assert subject.data_mean(wide).tolist() == 0.0
    middle = subject.data_mean(batch)
    known = subject.model.domain.batch("train", range(64), ())
    torch.testing.assert_close(middle[0], known.x.mean(0))
    assert bool((sqnorm(batch.space, batch.x - middle) > 0).all())
