"""Tests of `polydiff.looking.views.one_step`: the error of exact estimates against closed forms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_model import exact_model
from untrained import untrained

from polydiff.core.space import Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.looking.page import look
from polydiff.looking.subject import LEVELS, Subject, Unable
from polydiff.looking.views.one_step import one_step
from polydiff.looking.views.trajectory import trajectory
from polydiff.model.model import Model
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
    assert found.first.relative.tolist() == pytest.approx(exact, rel=0.05)
    assert found.first.half == pytest.approx(math.sqrt(variance), rel=0.1)


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


def test_molecules_with_bonds_have_errors_of_each_part_and_their_noisy_states_fit_the_page(tmp_path: Path) -> None:
    """An untrained network knows nothing of what is lost; letters that are seen it cannot miss."""
    values: dict[str, Any] = {
        "data.max_heavy": 4, "data.bonds": True, "backbone.hidden": 16, "backbone.layers": 1, "backbone.pair": 8,
        "backbone.vectors": 8, "sample.steps": 3, "device": "cpu",
    }  # fmt: skip
    model = Model.load(untrained(tmp_path / "run", "molecule", **values))
    subject = Subject(model)
    found = one_step(subject, subject.examples(64))
    assert found.parts.keys() == {"positions", "atoms", "bonds"}
    assert found.parts["positions"].relative[0] == pytest.approx(1, abs=0.05)
    for name in ("atoms", "bonds"):
        own = found.parts[name]
        assert own.nats is not None
        assert own.marginal is not None
        assert float(own.nats[0]) > own.marginal
        assert own.nats[-1] < 0.1 * own.nats[0]
    data = np.concatenate([one.positions for one in found.given]).std()
    shown = [found.noisy[0], trajectory(subject)[0].state]
    assert [np.concatenate([one.positions for one in noisy]).std() / data for noisy in shown] == [
        pytest.approx(1, abs=0.5)
    ] * 2
    seen = look(model, only=["one_step", "attention", "sensitivity", "uncertainty"])
    assert [view.name for view in seen.views] == ["one_step", "attention", "sensitivity", "uncertainty"]
    effects, spread = (view.numbers["parts"] for view in seen.views[2:])
    assert effects.keys() == spread.keys() == {"positions", "atoms", "bonds"}
    assert "<h3>bonds</h3>" in seen.views[2].html
    assert "The marginal law of bonds has" in seen.views[0].note
    with pytest.raises(Unable, match="several parts"):  # maps of attention
        _ = subject.estimates_of_one_part
