"""The error of a run that breaks names the step, the noise level and the largest number there; others raise none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from oracles import dense, euclidean, packed
from torch import nn

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.sampling.diagnose import LIMIT, first_failure, within_limit
from polydiff.gaussian.sampling.execute import Step
from polydiff.model.model import Model
from polydiff.support.errors import UserError


class Breaks(nn.Module):
    """A network that does well down to a noise level, and then gives a value for one sample."""

    def __init__(self, network: nn.Module, below: float, value: float) -> None:
        super().__init__()
        self.network, self.below, self.value, self.calls = network, below, value, 0

    def forward(self, x: torch.Tensor, log_sigma: torch.Tensor, *further: Any) -> torch.Tensor:
        self.calls += 1
        out: torch.Tensor = self.network(x, log_sigma, *further)
        if float(log_sigma[0]) < math.log(self.below):
            out = out.clone()
            out[-1] = self.value
        return out


@pytest.fixture(scope="module")
def model() -> Model:
    config = resolve("image", words={"backbone.channels": "16", "backbone.blocks": "1"}).config
    domain = build_domain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")))


@pytest.mark.parametrize(("value", "what"), [(math.nan, "are not finite"), (1e12, "explode")])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_error_names_the_step_that_breaks(
    model: Model, monkeypatch: pytest.MonkeyPatch, value: float, what: str, guidance: float
) -> None:
    network = Breaks(model.denoiser.backbone, 1.0, value)
    monkeypatch.setitem(model.denoiser._modules, "backbone", network)
    how: dict[str, Any] = {"sampler": "ddim", "spacing": "own", "spacing_options": {"levels": [20, 8, 2, 0.7, 0.2]}}
    words = rf"Samples of step 0 {what} \(sampler ddim, 5 steps, guidance {guidance:g}\): first after step 4 of the "
    words += r"sampler, from noise level 0\.7 \(t = [\d.]+\) to 0\.2, in 1 of 3 samples, such as number 7\. There the "
    words += r"largest \|x\| is [\d.e+]+; before, it was [\d.]+\. Use more steps"
    with pytest.raises(UserError, match=words):
        list(model.stream(3, first=5, steps=5, guidance=guidance, **how))
    given = model.domain.batch("test", range(3), streams(0, "augment", range(3)))
    mask = torch.zeros(given.x.shape[-2:])
    mask[:2] = 1
    with pytest.raises(UserError, match=rf"{what}.*first after step 4 .*from noise level 0\.7 "):
        polydiff.inpaint(model, given, mask, first=5, steps=5, guidance=guidance, **how)


def test_a_first_step_that_makes_nothing_but_nan(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.denoiser._modules, "backbone", Breaks(model.denoiser.backbone, math.inf, math.nan))
    with pytest.raises(UserError, match=r"first after step 1 .* in 1 of 1 samples, .* There all are NaN\. Use more"):
        model.sample(1, steps=3, sampler="ddim", guidance=1.0)


def test_padding_alone_that_breaks_counts_for_all_samples() -> None:
    space = dense(3, 4)
    assert isinstance(space, DenseMolecules)
    x = space.noise(streams(0, "x", range(3)))
    found = first_failure([Step(1.0, torch.where(space.mask[..., None], x, math.nan), x)], space, 9.0, 1.0)
    assert found is not None
    assert list(found.samples) == [0, 1, 2]


def test_while_all_is_well_nothing_is_done_twice(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Breaks(model.denoiser.backbone, 1e-9, 0.0)
    monkeypatch.setitem(model.denoiser._modules, "backbone", network)
    model.sample(2, steps=4, sampler="ddim", guidance=1.0)
    assert network.calls == 4


@pytest.mark.parametrize("make", [lambda: euclidean(3), lambda: dense(3, 4), lambda: packed(3, 4)])
def test_the_samples_that_break_are_named_on_every_space(make: Any) -> None:
    space = make()
    x = space.noise(streams(0, "x", range(3)))
    far = space.expand(torch.tensor([1.0, 2.1 * LIMIT, 1.0])) * x / x.abs().amax()
    steps = [Step(5.0, x, x), Step(1.0, far, x), Step(0.0, far * math.inf, x)]
    found = first_failure(steps, space, 9.0, 1.0)
    assert found is not None
    assert (found.step, found.level, found.to, list(found.samples)) == (2, 5.0, 1.0, [1])
    assert found.before == pytest.approx(float(x.abs().max()))
    assert found.largest > LIMIT
    assert first_failure(steps[:1], space, 9.0, 1.0) is None


def test_the_limit_of_values_depends_on_noise_and_data() -> None:
    x = torch.tensor([[0.9 * LIMIT]])
    assert within_limit(x, 0.0, 1.0)
    assert not within_limit(2 * x, 0.0, 1.0)
    assert within_limit(2 * x, 3.0, 1.0)
    assert not within_limit(torch.tensor([[math.nan]]), 3.0, 1.0)
