"""Runs that were not trained: a checkpoint with random weights, for tests of what a run is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import Run

SMALL: dict[str, dict[str, Any]] = {
    "image": {"backbone.channels": 16, "backbone.blocks": 1, "backbone.mult": [2], "backbone.attention": [0]},
    "audio": {
        "backbone.channels": 16, "backbone.blocks": 1, "backbone.mult": [1, 2], "backbone.strides": [4],
        "backbone.attention": [1], "data.length": 1024, "backbone.self_condition": True
    },
    "molecule": {"backbone.hidden": 16, "backbone.layers": 1, "data.max_heavy": 3},
    "sequence": {"backbone.width": 16, "backbone.depth": 1, "backbone.heads": 2, "data.largest": 9},
}  # fmt: skip
"""Domain -> its default network, narrow."""
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
"""Arguments of a small UNet2DModel of diffusers."""


def untrained(path: Path, domain: str, **values: Any) -> Path:
    """Write a run whose weights are random, so that no zero of an initialisation hides an error."""
    config = resolve(domain, values=values).config
    made = build_domain(config)
    network = build_denoiser(config, made, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    state = {"config": config.model_dump(mode="json"), "statistics": dict(made.statistics), "parents": {}}
    Checkpoint(0, state, network.state_dict(), network.state_dict(), {}).save(Run(path).checkpoints)
    return path
