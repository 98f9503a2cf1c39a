"""A network that answers the beginning of a run from memory gives the same bits with fewer calls."""

from __future__ import annotations

import torch
from oracles import GaussianDenoiser, euclidean
from torch import Tensor

from polydiff.core.streams import streams
from polydiff.gaussian.calibration.recall import Recalled
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS


def test_only_calls_after_the_first_difference_are_computed() -> None:
    space = euclidean(2)
    network = GaussianDenoiser(torch.full((2, 2, 3), 0.3), 0.7)
    recalled = Recalled(network)

    def run(last: float, record: bool) -> Tensor:
        recalled.calls.begin(record)
        rows = SAMPLERS["dpmpp_2m"]([10.0, 5.0, 2.0, last, 0.0])
        *_, end = run_plan(rows, recalled, 10 * space.noise(streams(0, "x", range(2))), space, None, ())
        return end.x

    first = run(0.5, record=True)
    assert network.calls == 4
    assert torch.equal(run(0.5, record=False), first)
    assert network.calls == 4
    changed = run(0.4, record=False)  # the step to the last level differs, so only the call there
    assert network.calls == recalled.calls.computed == 5
    recalled.calls.made.clear()
    assert torch.equal(run(0.4, record=False), changed)
    assert not torch.equal(changed, first)
