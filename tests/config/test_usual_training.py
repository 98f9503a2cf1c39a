"""Muon is the optimizer of `quick` where it was measured; elsewhere the domain's defaults are."""

from __future__ import annotations

from typing import Any

import pytest

from polydiff.config.merge import resolve

MEASURED = [
    ("image", {}, 4e-3, 2000),
    ("image", {"train.steps": 500}, 4e-3, 500),
    ("image", {"optim.lr": 2e-3}, 2e-3, 2000),
    ("image", {"process": "masked"}, 4e-3, 2000),
    ("image", {"loss.objective": "shortcut"}, 4e-3, 2000),
    ("audio", {}, 8e-3, 2500),
    ("audio", {"loss.objective": "ect"}, 8e-3, 2500),
    ("audio", {"optim.lr": 2e-3}, 2e-3, 2500),
]
OTHERS = [
    ("image", {"optim.name": "adamw"}, 1e-3, 3000),
    ("image", {"task": "inpaint"}, 1e-3, 3000),
    ("image", {"preset": "dit"}, 1e-3, 3000),
    ("image", {"backbone.name": "dit"}, 1e-3, 3000),
    ("image", {"data.path": "photos"}, 1e-3, 3000),
    ("image", {"data.path": "photos", "optim.lr": 3e-3}, 3e-3, 3000),
    ("image", {"data.size": 32}, 1e-3, 3000),
    ("image", {"data.name": "shapes"}, 1.5e-3, 2500),
    ("image", {"learn": "encode"}, 2e-3, 2000),
    ("image", {"preset": "small"}, 2e-4, 50_000),
    ("audio", {"optim.name": "adamw"}, 2e-3, 3000),
    ("audio", {"task": "inpaint"}, 2e-3, 3000),
    ("audio", {"data.path": "recordings"}, 2e-3, 3000),
    ("audio", {"data.name": "instruments"}, 2e-3, 3000),
    ("audio", {"data.sample_rate": 16000}, 2e-3, 3000),
    ("audio", {"optim.name": "adamw", "train.steps": 600}, 2e-3, 600),
    ("audio", {"backbone.name": "dit"}, 2e-3, 3000),
    ("audio", {"learn": "encode"}, 2e-3, 2000),
    ("audio", {"preset": "small"}, 3e-4, 40_000),
]


@pytest.mark.parametrize(("domain", "values", "lr", "steps"), MEASURED)
def test_quick_takes_muon_where_it_was_measured(domain: str, values: dict[str, Any], lr: float, steps: int) -> None:
    config = resolve(domain, values=values).config
    assert (config.optim.name, config.optim.lr, config.train.steps) == ("muon", lr, steps)


@pytest.mark.parametrize(("domain", "values", "lr", "steps"), OTHERS)
def test_what_was_not_measured_keeps_adamw_and_its_rate(
    domain: str, values: dict[str, Any], lr: float, steps: int
) -> None:
    config = resolve(domain, values=values).config
    assert (config.optim.name, config.optim.lr, config.train.steps) == ("adamw", lr, steps)
    assert type(config).model_validate(config.model_dump()).following() == config.following()
