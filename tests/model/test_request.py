"""A request: planned once, whatever the number of its batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from repository import ROOT

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.gaussian.process import plan as gaussian_plan
from polydiff.gaussian.sampling import plan as sampler_plan
from polydiff.gaussian.sampling import spacing
from polydiff.model.model import Model
from polydiff.model.request import Request


@pytest.fixture(scope="module")
def model() -> Model:
    words = {"backbone.channels": "8", "backbone.group_size": "4", "backbone.heads": "2", "backbone.blocks": "1"}
    config = resolve("image", words=words).config
    domain = build_domain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


def counted(monkeypatch: pytest.MonkeyPatch, home: Any, name: str) -> list[None]:
    """Count the calls of a function."""
    calls: list[None] = []
    function: Callable[..., Any] = getattr(home, name)

    def counting(*args: Any, **how: Any) -> Any:
        calls.append(None)
        return function(*args, **how)

    monkeypatch.setattr(home, name, counting)
    return calls


@pytest.mark.parametrize("sampler", ["auto", "heun"])
def test_noise_levels_are_computed_once_a_request(model: Model, monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
    assert sampler_plan.noise_levels is spacing.noise_levels
    levels = counted(monkeypatch, sampler_plan, "noise_levels")
    blanks = counted(monkeypatch, type(model.domain), "blank")
    model.sample(8, batch_size=2, guidance=2, cond={"label": 3}, steps=3, sampler=sampler)
    assert len(levels) == 1
    assert len(blanks) <= 1 + 4 + 1  # the sizes of all, each batch, and the network's best batch, once a model
    blanks.clear()
    model.sample(4, batch_size=4, guidance=2, steps=3, sampler=sampler)
    assert len(blanks) == 1


def test_given_examples_are_planned_once_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    given = model.domain.batch("test", range(2), streams(0, "augment", range(2)))
    levels = counted(monkeypatch, sampler_plan, "noise_levels")
    polydiff.vary(model, given, strength=0.5, steps=3)
    assert len(levels) == 1
    polydiff.inpaint(model, given, torch.ones_like(given.x[:1, :1]), steps=3, resample=2, jump=1)
    assert len(levels) == 2
    polydiff.evaluate(model, 4, steps=2, batch_size=2)
    assert len(levels) == 3


def test_each_run_has_a_method_of_guidance_of_its_own(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that remembers its last estimate, such as apg with momentum, must not remember another batch's."""
    how = {"guidance": 2.0, "guidance_method": "apg", "guidance_options": {"momentum": -0.5}, "cond": {"label": 1}}
    whole = model.sample(4, batch_size=2, steps=3, **how)
    methods = counted(monkeypatch, gaussian_plan, "try_guidance")
    cond = how.pop("cond")
    last = Request.of(model, {"batch_size": 2, "steps": 3, **how}, cond)  # type: ignore[arg-type]
    parts = list(last.samples(range(2, 4), 0))
    assert len(methods) == 2  # tried, and run
    for a, b in zip(whole.examples[2:], parts[0].examples, strict=True):
        assert torch.equal(a, b)


def test_what_another_precision_computes_has_the_same_weights(model: Model) -> None:
    network = model.denoiser.with_precision("bf16")
    assert network.precision == "bf16"
    assert model.denoiser.with_precision(model.denoiser.precision) is model.denoiser
    assert network.training == model.denoiser.training is False
    assert all(a is b for a, b in zip(network.parameters(), model.denoiser.parameters(), strict=True))
    assert network.state_dict().keys() == model.denoiser.state_dict().keys()


def golden(**changes: Any) -> Model:
    """Return a small model of images whose configuration has other values."""
    model = Model.load(ROOT / "tests" / "golden" / "image" / "step-00000050", device="cpu")
    train = model.config.train.model_copy(update=changes)
    return replace(model, config=model.config.model_copy(update={"train": train}))


@pytest.mark.parametrize(
    ("dropout", "how", "warned"),
    [
        (0.0, {"guidance": 2.0}, True),
        (1.0, {"guidance": 2.0}, True),
        (0.0, {"guidance": 1.0}, False),
        (0.1, {"guidance": 2.0}, False),
        (0.0, {"guidance": 2.0, "negative": {"label": "3"}}, False),
    ],
)
def test_guidance_of_a_network_that_never_saw_one_of_its_estimates_warns(
    dropout: float, how: dict[str, Any], warned: bool
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        golden(condition_dropout=dropout).request(None, **how)
    assert any("train.condition_dropout" in str(w.message) for w in said) == warned
