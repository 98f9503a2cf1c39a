"""Tests of `polydiff.core.entry`: what does not fit is an error, once, where it enters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from oracles import GaussianDenoiser, dense, packed
from torch import Tensor, nn

from polydiff.core.conditions import Aligned, Classes, Number
from polydiff.core.entry import check_batch, check_precision, state_shape
from polydiff.core.space import Batch, Euclidean, Space
from polydiff.core.streams import stream_seed, streams
from polydiff.gaussian.control.invert import encode
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import masked
from polydiff.gaussian.control.replacement import inpaint
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.likelihood.bounds import chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound, flow_log_prob
from polydiff.gaussian.sampling.execute import sample, trajectory
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.support.errors import UserError
from polydiff.training.loop import Training, fit


class Linear(nn.Module):
    """A network for states of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Any = None) -> Tensor:
        return self.weight * x


def training(schedule: str = "edm") -> Training[Denoiser]:
    return Training(Denoiser(Linear(), SCHEDULES[schedule]()))


def trained(batch: Batch, batch_size: int | None = None, schedule: str = "edm") -> None:
    next(fit(training(schedule), lambda step: batch, steps=1, batch_size=batch_size or batch.space.batch))


EXACT = GaussianDenoiser(torch.zeros(()), 1.0)
ENTRIES: dict[str, Callable[[Tensor, Space], object]] = {
    "training": lambda x, space: trained(Batch(x, space)),
    "init of sample": lambda x, space: sample(
        EXACT, space, generators=streams(0, "s", range(space.batch)), steps=2, init=x
    ),
    "init of trajectory": lambda x, space: trajectory(
        EXACT, space, generators=streams(0, "s", range(space.batch)), steps=2, init=x
    ),
    "known part": lambda x, space: inpaint(
        EXACT,
        plan(EDM(), 2),
        space,
        known=x,
        mask=torch.ones(()),
        generators=streams(0, "s", range(space.batch)),
    ),
    "inversion": lambda x, space: encode(EXACT, x, space, levels=[3.0, 1.0, 0.1]),
    "measurement": lambda x, space: Measured(EXACT, masked(torch.ones(()), space), x),
    "continuous bound": lambda x, space: continuous_vlb(
        EXACT, Batch(x, space), streams(0, "s", range(space.batch)), draws=2
    ),
    "chain": lambda x, space: discrete_vlb(
        EXACT, Batch(x, space), streams(0, "s", range(space.batch)), chain(EDM(), 3), draws=2
    ),
    "flow": lambda x, space: flow_log_prob(EXACT, x, space),
    "flow bound": lambda x, space: flow_bound(EXACT, Batch(x, space), streams(0, "s", range(space.batch))),
}
BROADCASTING = [
    (Euclidean(8, (5, 5)), (8, 1, 5, 5)),
    (Euclidean(8, (3,)), (8, 1)),
    (Euclidean(8, (3,)), (1, 3)),
    (Euclidean(8, ()), (8, 1)),
    (Euclidean(8, (3,)), (3,)),
    (dense(8, 4), (8, 4, 1)),
    (packed(8, 4), (32, 1)),
]


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_states_that_only_broadcast_against_their_space_are_an_error_that_names_both_shapes(entry: str) -> None:
    for space, shape in BROADCASTING:
        x = torch.zeros(shape, dtype=space.dim.dtype)
        with pytest.raises(UserError) as error:
            ENTRIES[entry](x, space)
        assert str(shape) in str(error.value)
        assert str(state_shape(space)) in str(error.value)


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_numbers_that_are_not_finite_are_an_error_that_names_the_examples(entry: str) -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        for space in (Euclidean(8, (5,), dtype=torch.float64), dense(8, 4), packed(8, 4)):
            x = torch.zeros(state_shape(space), dtype=torch.float64)
            rows = len(x) // 8
            x[2 * rows], x[6 * rows] = bad, bad
            with pytest.raises(UserError, match=r"in 2 of 8 examples: 2, 6 of the batch") as error:
                ENTRIES[entry](x, space)
            assert "optim.lr" not in str(error.value)


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name not in ("known part", "measurement", "flow bound")])
def test_whole_numbers_are_no_states(entry: str) -> None:
    with pytest.raises(UserError, match=r"torch\.int64.*\.float\(\)"):
        ENTRIES[entry](torch.ones(8, 3, dtype=torch.int64), Euclidean(8, (3,)))


class Given(list[torch.Generator]):
    """Random streams that the checks of shapes in tests leave to the library."""


@pytest.mark.parametrize(("given", "samples"), [(1, 4), (6, 4), (0, 4), (4, 1)])
def test_as_many_streams_as_samples_are_needed(given: int, samples: int) -> None:
    space, few = Euclidean(samples, (2,)), Given(streams(0, "s", range(given)))
    x = torch.zeros(samples, 2)
    for call in (
        lambda: sample(EXACT, space, generators=few, steps=2),
        lambda: continuous_vlb(EXACT, Batch(x, space), few, draws=2),
        lambda: flow_bound(EXACT, Batch(x, space), few),
        lambda: flow_log_prob(EXACT, x, space, trace="hutchinson", generators=few),
        lambda: inpaint(EXACT, plan(EDM(), 2), space, known=x, mask=torch.ones(2), generators=few),
    ):
        with pytest.raises(UserError, match=f"{given} random streams are given for {samples} samples"):
            call()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 16])
def test_the_batch_size_of_training_is_that_of_the_batches(batch_size: int) -> None:
    with pytest.raises(UserError, match=f"Step 1: the batch has 8 samples, but batch_size is {batch_size}"):
        trained(Batch(torch.zeros(8, 2), Euclidean(8, (2,))), batch_size)


@pytest.mark.parametrize(
    ("dtype", "levels"),
    [
        (torch.float16, (0.1, 1e5)),
        (torch.float16, (0.1, 300.0)),
        (torch.float16, (0.002, 80.0)),
        (torch.bfloat16, (0.002, 80.0)),
        (torch.float32, (1e-8, 80.0)),
        (torch.float32, (0.1, 1e20)),
        (torch.int64, (0.1, 1.0)),
    ],
)
def test_a_precision_that_cannot_hold_the_noise_levels_is_an_error(
    dtype: torch.dtype, levels: tuple[float, float]
) -> None:
    with pytest.raises(UserError, match=str(dtype)):
        check_precision(dtype, levels)


def test_half_precision_on_a_schedule_with_zero_terminal_snr_is_an_error_at_the_start() -> None:
    """The first noise, at 1e5, would overflow float16."""
    space = Euclidean(2, (3,), dtype=torch.float16)
    exact = GaussianDenoiser(torch.zeros(()), 1.0, SCHEDULES["linear"](zero_terminal_snr=True))
    with pytest.raises(UserError, match=r"torch.float16, which cannot hold the noise levels"):
        sample(exact, space, generators=streams(0, "s", range(2)), steps=4)
    with pytest.raises(UserError, match=r"torch.float16, which cannot hold the noise levels"):
        trained(Batch(torch.zeros(2, 3, dtype=torch.float16), space))


def test_every_schedule_allows_float32() -> None:
    for name in SCHEDULES:
        schedule = SCHEDULES[name]()
        check_precision(torch.float32, [schedule.sigma_min, schedule.sigma_max])


def test_half_precision_samples_where_the_levels_allow_it() -> None:
    space = Euclidean(2, (3,), dtype=torch.float16)
    levels = [20.0, 5.0, 1.0, 0.1, 0.0]
    x = sample(EXACT, space, generators=streams(0, "s", range(2)), levels=levels, sampler="ddim")
    assert x.dtype == torch.float16
    assert x.isfinite().all()


def test_states_of_another_precision_than_their_space_are_an_error() -> None:
    with pytest.raises(UserError, match=r"torch\.float64.*torch\.float32"):
        trained(Batch(torch.zeros(8, 2, dtype=torch.float64), Euclidean(8, (2,))))


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ({"label": torch.zeros(1, dtype=torch.long)}, r"label.*\(1,\).*8 samples"),
        ({"label": torch.zeros((), dtype=torch.long)}, r"label.*\(\).*8 samples"),
        ({"label": torch.zeros(8)}, "label"),
        ({"label": torch.full((8,), 3)}, "label.*cannot have"),
        ({"label": torch.zeros(8, 1, dtype=torch.long)}, "label"),
        ({}, "conditions none"),
        ({"label": torch.zeros(8, dtype=torch.long), "other": torch.zeros(8)}, "other"),
    ],
)
def test_conditions_that_do_not_fit_are_named(cond: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_batch(Batch(torch.zeros(8, 2), Euclidean(8, (2,)), cond), kinds={"label": Classes(3)})


def test_batches_that_fit_pass() -> None:
    kinds = {"label": Classes(3), "pitch": Number(), "mel": Aligned(4, 2)}
    cond = {
        "label": torch.full((8,), -1),
        "pitch": torch.full((8,), torch.nan),
        "mel": torch.zeros(8, 4, 3),
        "_estimate": torch.zeros(16, 1),
    }
    check_batch(Batch(torch.zeros(8, 1, 6), Euclidean(8, (1, 6)), cond), kinds=kinds, levels=(0.002, 80))
    for space in (dense(8, 4), packed(8, 4)):
        check_batch(Batch(space.noise(streams(0, "x", range(8))), space), levels=(0.002, 80))


def test_a_space_without_a_shape_draws_one_and_leaves_the_streams_of_the_user() -> None:
    class Own:
        """Vectors of three numbers with no `state_shape`."""

        def __init__(self) -> None:
            self.__wrapped__ = None
            self.inner = Euclidean(4, (3,))

        batch = 4
        dim = property(lambda self: self.inner.dim)
        noise = property(lambda self: self.inner.noise)
        sum = property(lambda self: self.inner.sum)

    assert state_shape(Own()) == (4, 3)  # type: ignore[arg-type]


def test_states_of_one_number_are_trained_and_sampled() -> None:
    space = Euclidean(6, ())
    trained(Batch(torch.zeros(6), space))
    x = sample(EXACT, space, generators=streams(0, "s", range(6)), steps=3)
    assert x.shape == (6,)
    assert flow_log_prob(EXACT, x, space).log_prob.shape == (6,)


@pytest.mark.parametrize("seed", [1.0, 1.5, "a", "1", None, True, torch.tensor(1.0)])
def test_seeds_are_whole_numbers(seed: Any) -> None:
    with pytest.raises(UserError, match="seed must be a whole number"):
        stream_seed(seed, "x")


def test_whole_numbers_of_all_libraries_are_one_seed() -> None:
    import numpy as np

    assert len({stream_seed(n, "x", n) for n in (1, np.int64(1), np.uint8(1), torch.tensor(1))}) == 1
