"""Properties of every control: space and independence of the batch; wrong options raise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from control_cases import SPACES, Y, part
from oracles import GaussianDenoiser
from torch.testing import assert_close

from polydiff.core.space import Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.control.dps import PosteriorSampling
from polydiff.gaussian.control.invert import interpolate
from polydiff.gaussian.control.known import Known
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import masked
from polydiff.gaussian.control.replacement import repaint
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.guidance.first_order_steps import first_order
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM

NONE: Any = None


def controls(space: Space) -> dict[str, Denoise]:
    """Return every wrapper around the denoiser of a Gaussian."""
    y = space.noise(streams(3, "y", range(space.batch)))
    prior = GaussianDenoiser(torch.zeros_like(y), 0.8, EDM(sigma_max=10.0))
    rows = SAMPLERS["ddim"](noise_levels(prior.schedule, 6, "karras"))
    operator = masked(part(space), space)
    return {
        "known": Known(prior, y, part(space)),
        "isotropic": Measured(prior, operator, y, 0.1),
        "jacobian": Measured(prior, operator, y, 0.1, "jacobian"),
        "dps": PosteriorSampling(prior, operator.forward, y, space, first_order(rows, "DPS"), 0.3),
    }


@pytest.mark.parametrize("where", list(SPACES))
@pytest.mark.parametrize("name", ["known", "isotropic", "jacobian", "dps"])
def test_a_controlled_sample_does_not_depend_on_its_batch_and_lies_on_its_space(name: str, where: str) -> None:
    def draw(n: int) -> State:
        space = SPACES[where](n)
        how: dict[str, Any] = {"steps": 6, "sampler": "ddim", "spacing": "karras", "eta": 0.0}
        return sample(controls(space)[name], space, generators=streams(0, "x", range(n)), **how)

    together, alone = draw(3), draw(1)
    assert torch.equal(together[: len(alone)], alone)
    assert_close(SPACES[where](1).project(alone), alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Known(NONE, Y, 1.0), "mask must be a tensor, 1 or True where known, not float"),  # type: ignore[arg-type]
        (lambda: Known(NONE, Y, torch.ones(2, *Y.shape)), "which does not broadcast against"),
        (lambda: Known(NONE, Y, torch.ones(97)), r"mask has the shape \(97,\), which does not broadcast against"),
        (lambda: Known(NONE, Y, torch.tensor(0.5)), "mask must hold only 0 and 1"),
        (lambda: Known(NONE, Y, torch.tensor(math.nan)), "mask must hold only 0 and 1"),
        (lambda: next(interpolate(NONE, Y, Y, NONE, shares=[0.5], steps=1)), "steps must be at least 2"),
        (lambda: repaint([1.0, 0.0], jump=0), "jump and resample must be at least 1"),
        (lambda: Measured(None, None, Y, -1.0), "noise must be at least 0"),  # type: ignore[arg-type]
        (lambda: Measured(None, None, Y, 0.0, "full"), "'isotropic' or 'jacobian', not 'full'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_options_raise(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()
