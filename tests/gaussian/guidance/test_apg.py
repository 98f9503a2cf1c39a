"""Tests of `polydiff.gaussian.guidance.apg`."""

from __future__ import annotations

import math

import pytest
import torch
from guidance_cases import condition, guided, level
from oracles import euclidean
from torch.testing import assert_close

from polydiff.core.space import State
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.guidance.apg import Projected
from polydiff.gaussian.sampling.execute import sample


def test_projected_guidance_is_the_published_algorithm() -> None:
    """Algorithm 1 of Sadat et al., 2024, over three steps, on one flattened sample."""
    eta, r, beta, w, d = 0.3, 1.1, -0.5, 6.0, 6
    space, average = euclidean(1), torch.zeros(d, dtype=torch.float64)
    method = Projected(w, eta, r / math.sqrt(d), beta)
    for k, sigma in enumerate((4.0, 2.0, 0.5)):
        c, u = (space.noise(streams(2 * k + j, "estimate", [0])) for j in range(2))
        result = method(c, u, c, level(space, sigma), space).flatten()
        c, u = c.flatten(), u.flatten()
        average = (c - u) + beta * average
        diff = average * min(1.0, r / average.norm().item())
        unit = c / c.norm()
        parallel = (diff @ unit) * unit
        assert_close(result, c + (w - 1) * (diff - parallel + eta * parallel), rtol=1e-12, atol=1e-12)
    c, u = c.reshape(1, 2, 3), u.reshape(1, 2, 3)
    assert_close(Projected(w, eta=1.0)(c, u, c, level(space, 1.0), space), u + w * (c - u))


@pytest.mark.parametrize("sampler", ["ddim", "heun"])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_momentum_of_a_run_does_not_reach_the_next(sampler: str, steps: int) -> None:
    def draw(wrapper: Denoise, n: int) -> State:
        space, how = euclidean(n), {"steps": steps, "sampler": sampler, "spacing": "karras"}
        return sample(wrapper, space, condition([0, 1, 2, 3][:n]), generators=streams(0, "x", range(n)), **how)

    wrapper = guided("apg", momentum=-0.7)
    first = draw(wrapper, 2)
    assert torch.equal(draw(wrapper, 2), first)
    draw(wrapper, 4)
    assert torch.equal(draw(wrapper, 2), first)
    if steps > 1:
        assert not torch.allclose(draw(guided("apg"), 2), first)
