"""Presets and runs with the diffusion transformer: they learn, and come back from their checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from repository import ROOT
from torch import Tensor

import polydiff
from polydiff.config.merge import resolve
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import Classes
from polydiff.core.space import Euclidean
from polydiff.core.streams import stream


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=stream(0, "state"))


PARAMETERS = {"dit": (1, 1.3e6), "dit-s": (3, 32e6), "jit": (1, 1.3e6), "jit-b16": (3, 130e6)}


@pytest.mark.parametrize("preset", list(PARAMETERS))
def test_presets_have_the_parameters_that_the_page_states(preset: str) -> None:
    channels, parameters = PARAMETERS[preset]
    config = resolve("image", preset).config.backbone
    with torch.device("meta"):
        network = build_backbone(config, channels=channels, dims=2, conditions={"label": Classes(10)})
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(parameters, rel=0.04)
    lines = (ROOT / "docs/image.md").read_text().splitlines()
    (row,) = (line for line in lines if line.startswith(f"| `{preset}` |") and line.endswith(" M |"))
    assert row.endswith(f"| {parameters / 1e6:g} M |")


@pytest.mark.parametrize("preset", ["dit", "jit"])
def test_small_presets_learn_and_take_any_size(preset: str) -> None:
    """After a few steps on one batch the loss is far below that of the start, and a picture of other sides runs."""
    config = resolve("image", preset).config
    torch.manual_seed(0)
    network = build_backbone(config.backbone, channels=1, dims=2, conditions={"label": Classes(10)})
    x, space, levels = drawn(8, 1, 8, 8), Euclidean(8, (1, 8, 8)), torch.full((8,), -1.0)
    optimizer = torch.optim.AdamW(network.parameters(), config.optim.lr)
    losses = []
    for _ in range(40):
        loss = (network(x, levels, space, {"label": torch.arange(8)}) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        other = network(drawn(2, 1, 11, 18), levels[:2], Euclidean(2, (1, 11, 18)))
    assert other.shape == (2, 1, 11, 18)
    assert other.any()
    assert other.isfinite().all()


WORDS = {
    **{"backbone.name": "dit", "backbone.width": 16, "backbone.depth": 1, "backbone.heads": 2},
    **{"train.steps": 2, "train.batch_size": 4, "sample.steps": 2},
}


@pytest.mark.parametrize(
    ("domain", "more"),
    [
        ("image", {"backbone.self_condition": True}),
        ("image", {"task": "upsample"}),
        ("image", {"task": "inpaint", "target": "x0", "loss.weighting": "flow", "backbone.bottleneck": 4}),
        ("image", {"loss.objective": "hybrid", "backbone.variance": True}),
        ("audio", {"data.length": 300, "backbone.patch": 16, "data.n_train": 8}),
        ("audio", {"data.length": 256, "backbone.patch": 16, "data.n_train": 8, "task": "vocode"}),
    ],
    ids=["self-conditioned", "upsample", "inpaint", "variance", "audio", "vocode"],
)
def test_a_run_comes_back_from_its_checkpoint(domain: str, more: dict[str, Any], tmp_path: Path) -> None:
    run = polydiff.train(domain, tmp_path / "run", overrides={**WORDS, **more})
    model, again = polydiff.load(run), polydiff.load(run)
    assert model.config.backbone.name == "dit"
    samples, same = (torch.stack(list(m.sample(2, seed=0).examples)) for m in (model, again))
    assert torch.equal(samples, same)
    assert samples.isfinite().all()
