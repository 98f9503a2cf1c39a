"""Tests of `polydiff.model.solve`, with runs of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import tiny
from torch.testing import assert_close

import polydiff
from polydiff.core.space import Batch, Euclidean, Measurement
from polydiff.core.streams import streams
from polydiff.model.model import Model
from polydiff.model.solve import measure, measurement_of, simple_estimate, solve
from polydiff.support.errors import UserError

FEW: dict[str, Any] = {"train.steps": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of digits that no test changes."""
    return polydiff.load(tiny("image", tmp_path_factory.mktemp("solve") / "run", **FEW))


def held_out(model: Model, n: int = 3, first: int = 0) -> Batch:
    indices = range(first, first + n)
    return model.domain.batch("test", indices, streams(0, "augment", indices))


def stacked(samples: polydiff.Samples) -> torch.Tensor:
    return torch.stack(list(samples.examples)).int()


@pytest.mark.parametrize("how", ["pigdm", "moments", "dps"])
def test_a_solution_follows_from_the_seed_and_its_number_and_not_from_its_batch(model: Model, how: str) -> None:
    options: dict[str, Any] = {"noise": 0.05, "how": how, "steps": 4}
    together = stacked(solve(model, held_out(model), "mean=2", **options))
    alone = stacked(solve(model, held_out(model, 1, 2), "mean=2", first=2, **options))
    assert (together[2:] - alone).abs().max() <= 1
    assert not torch.equal(together, stacked(solve(model, held_out(model), "mean=2", seed=1, **options)))


def test_values_of_ones_own_and_an_operator_of_ones_own_are_used(model: Model) -> None:
    given = held_out(model)
    operator = measurement_of(model, "mean=2", given)
    y = measure(operator, given, 0.1, 0, 0)
    by_text = solve(model, given, "mean=2", noise=0.1)
    blank = given._replace(x=torch.zeros_like(given.x))
    by_values = solve(model, blank, operator, y=y, noise=0.1)
    assert torch.equal(stacked(by_text), stacked(by_values))
    with pytest.raises(UserError, match="y"):
        solve(model, given, "mean=2", y=y[:, :, :1])


def test_noise_has_the_stated_size_and_a_simple_estimate_shows_it(model: Model) -> None:
    given = held_out(model, 64)
    operator = measurement_of(model, "gap=0,0:1,1", given)
    clean, noisy = (measure(operator, given, noise, 0, 0) for noise in (0.0, 0.1))
    assert ((noisy - clean).std() / operator.unit).item() == pytest.approx(0.1, rel=0.05)
    plain, shown = (stacked(simple_estimate(model, given, "gap=0,0:1,1", noise=noise)) for noise in (0.0, 0.1))
    inner = (plain > 80) & (plain < 175)  # far enough from black and white that noise is not cut off
    inner[:, :, 0, 0] = False
    assert (shown - plain)[inner].double().std().item() / 255 == pytest.approx(0.1, rel=0.1)
    assert_close(clean, operator.forward(given.x))


def test_the_conditions_of_held_out_examples_are_not_used(model: Model) -> None:
    given = held_out(model)
    assert given.cond is not None
    other = given._replace(cond={name: value.roll(1) for name, value in given.cond.items()})
    assert torch.equal(stacked(solve(model, given, "mean=2")), stacked(solve(model, other, "mean=2")))
    made = solve(model, given, "mean=2", cond={"label": 7})
    assert model.domain.describe(made.cond or {}) == [{"label": "7"}] * 3


def test_dps_brings_a_first_order_sampler_and_the_users_own_must_be_one(model: Model) -> None:
    given = held_out(model, 1)
    facts = solve(model, given, "mean=2", how="dps", steps=3).origin.facts  # type: ignore[union-attr]
    assert facts["sampler"] == "ddpm"
    assert facts["method"] == "dps"
    with pytest.raises(UserError, match="first-order"):
        solve(model, given, "mean=2", how="dps", sampler="heun")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"what": "maen=2"}, "Did you mean 'mean'?"),
        ({"how": "pgdm"}, "Unknown method 'pgdm'. Did you mean 'pigdm'?"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0"),
        ({"noise": float("nan")}, "noise must be a finite number"),
        ({"zeta": 0.5}, "moments has no zeta"),
        ({"iterations": 0}, "iterations must be finite and above 0"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_a_wrong_argument_is_an_error(model: Model, change: dict[str, Any], sentence: str) -> None:
    options = {"what": "mean=2", **change}
    with pytest.raises(UserError) as caught:
        solve(model, held_out(model, 1), **options)
    assert sentence in str(caught.value)


def test_a_run_with_a_task_cannot_solve_and_one_trained_to_inpaint_can(tmp_path: Path) -> None:
    upsampler = polydiff.load(tiny("image", tmp_path / "upsample", task="upsample", **FEW))
    with pytest.raises(UserError, match=r"task=upsample, and is conditioned on low"):
        solve(upsampler, held_out(upsampler, 1), "mean=2")
    inpainter = polydiff.load(tiny("image", tmp_path / "inpaint", task="inpaint", **FEW))
    assert len(solve(inpainter, held_out(inpainter, 1), "gap=2,2:6,6")) == 1


def test_a_process_that_cannot_solve_says_so(model: Model) -> None:
    class Foreign:
        name = "foreign"

    class Other(Model):
        process = Foreign()  # type: ignore[assignment]

    other = object.__new__(Other)
    other.__dict__.update({name: value for name, value in vars(model).items() if name != "process"})
    with pytest.raises(UserError, match="process=foreign: this process cannot solve inverse problems"):
        solve(other, held_out(model, 1), "mean=2")


@pytest.mark.usefixtures("ring")
def test_a_domain_without_measurements_takes_an_operator(tmp_path: Path) -> None:
    """The first coordinate of a point."""
    words = {"train.steps": 2, "train.batch_size": 8, "backbone.hidden": 16}
    points = polydiff.load(polydiff.train("ring", tmp_path / "run", overrides=words))
    given = held_out(points, 2)
    with pytest.raises(UserError, match="The domain ring has no measurements"):
        solve(points, given, "first")
    first = Measurement(lambda x: x[:, :1], lambda y: torch.nn.functional.pad(y, (0, 1)), Euclidean(2, (1,)))
    assert len(solve(points, given, first, steps=3)) == 2
    assert len(solve(points, given, replace(first, unit=2.0), steps=3, noise=0.1)) == 2
