"""Molecules from words: samples follow their captions, and a caption has the same effect in every batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clouds import K, awaken, dense, far, orthogonal, turned
from molecule_words import WITH, WITHOUT, words_csv
from tiny_runs import SMALL_NETS, assert_same_run
from torch import Tensor

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import Text
from polydiff.model.model import Model
from polydiff.training.trainer import resume, train

NETWORKS: list[MoleculeNetConfig] = [
    EGNNConfig(hidden=32, layers=2, radial=8),
    GraphTransformerConfig(hidden=32, layers=2, radial=8, pair=8, vectors=8),
]
networks = pytest.mark.parametrize("config", NETWORKS, ids=lambda config: config.name)


def texts(batch: int, longest: int = 6) -> Tensor:
    """Return texts of different lengths, the last one missing."""
    cond = torch.full((batch, longest), -1)
    for i in range(batch - 1):
        cond[i, : 1 + i % longest] = torch.arange(1 + i % longest) + i
    return cond


def network(config: MoleculeNetConfig, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    net = build_backbone(config, channels=K, dims=3, conditions={"text": Text(20, 8)}).to(dtype)
    return awaken(net).eval()


@networks
def test_networks_stay_equivariant_and_read_the_text(config: MoleculeNetConfig) -> None:
    net = network(config)
    x, log_sigma, space, _ = dense(torch.float64)
    cond = {"text": texts(space.batch)}
    f = net(x, log_sigma, space, cond)
    turn = orthogonal(0, torch.float64, True)
    assert far(turned(f, turn), net(turned(x, turn), log_sigma, space, cond)) < 1e-9
    assert far(f, net(x, log_sigma, space, {"text": cond["text"].roll(1, 0)})) > 1e-3


@networks
def test_padding_of_a_text_changes_nothing(config: MoleculeNetConfig) -> None:
    net = network(config, torch.float32)
    x, log_sigma, space, _ = dense(torch.float32)
    cond = texts(space.batch)
    longer = torch.cat([cond, torch.full_like(cond[:, :2], -1)], 1)
    torch.testing.assert_close(
        net(x, log_sigma, space, {"text": longer}), net(x, log_sigma, space, {"text": cond}), rtol=0, atol=1e-5
    )


@networks
def test_without_any_text_gradients_are_finite(config: MoleculeNetConfig) -> None:
    net = network(config)
    x, log_sigma, space, _ = dense(torch.float64)
    for cond in ({"text": torch.full((space.batch, 6), -1)}, {"text": texts(space.batch)}, None):
        net.zero_grad()
        net(x, log_sigma, space, cond).square().sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


pytestmark = pytest.mark.filterwarnings("ignore:.*left out")
SMALL = {name: value for name, value in SMALL_NETS["molecule"].items() if name != "data.max_heavy"}


def test_a_resumed_run_of_captions_has_the_same_bits(tmp_path: Path) -> None:
    data = {"data.path": str(words_csv(tmp_path / "words.csv")), "data.conformers": 1, "data.conditions": ()}
    whole = train("molecule", tmp_path / "whole", overrides={**SMALL, **data, **STEPS, "train.steps": 6})
    part = train("molecule", tmp_path / "part", overrides={**SMALL, **data, **STEPS, "train.steps": 3})
    resume(part, steps=6)
    assert_same_run(whole, part)


STEPS = {
    "train.batch_size": 8,
    "train.checkpoint_every": 3,
    "train.log_every": 1,
    "optim.decay": "constant",
    "sample.steps": 2,
    "train.keep": 9,
}


@pytest.mark.slow
def test_samples_have_the_elements_that_their_caption_names(tmp_path: Path) -> None:
    """Composition is no condition here, so only the caption decides it."""
    data = {"data.path": str(words_csv(tmp_path / "words.csv", 4)), "data.conformers": 1, "data.conditions": ()}
    net = {"backbone.hidden": 32, "backbone.layers": 3, "backbone.pair": 8, "backbone.text.layers": 1}
    more = {"train.steps": 400, "train.batch_size": 32, "train.sample_every": 400, "train.ema": 0.98}
    run = train("molecule", tmp_path / "run", overrides={**data, **net, **more})
    model = Model.load(run)
    shares = []
    for caption in (WITH, WITHOUT):
        samples = model.sample(64, seed=0, cond={"text": caption}, guidance=2, steps=20)
        shares.append(sum(7 in one.numbers for one in samples.examples) / 64)
    assert shares[0] > shares[1] + 0.35, shares
