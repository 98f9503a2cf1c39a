"""How long the processes of a training exchange weights and gradients, by calculation from published bandwidths.

    python benchmarks/exchange.py

With P parameters of 4 bytes, a process of N sends and receives, in each step,

- if each process holds all weights, 2 (N - 1) / N * 4 P bytes: a reduce-scatter and an all-gather of the gradients in a
  ring (Patarasu and Yuan, 2009, https://doi.org/10.1016/j.jpdc.2008.09.002);
- if the weights are divided, 3 (N - 1) / N * 4 P bytes: all weights are gathered for the forward and again for the
  backward pass, and gradients are reduced and scattered (Rajbhandari et al., ZeRO, 2020,
  https://arxiv.org/abs/1910.02054).

Times are these bytes over the bandwidth in one direction, the least that they can take: nothing of the exchange is
hidden behind computation, and there is no latency. Eight GPUs of a machine are joined by NVLink, more by one InfiniBand
port a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from polydiff.backbones.config import DiTConfig
from polydiff.backbones.dit import DiT
from polydiff.backbones.unet import UNet
from polydiff.config.merge import resolve

BYTES = 4
"""Of a number: weights and gradients are exchanged as float32."""
PASSES = {"all weights in each": 2, "weights divided": 3}
"""Strategy -> how often (N - 1) / N of all numbers are sent."""
LINKS = {8: ("NVLink 4", 450e9), 512: ("InfiniBand NDR", 50e9)}
"""Number of GPUs -> what joins them, and its bytes a second in one direction.

NVLink 4 has 900 GB/s in both directions together (NVIDIA H100 data sheet), NDR 400 Gb/s a port, and a DGX H100 one port
a GPU (NVIDIA DGX H100 user guide)."""
BILLION = {"width": 1408, "depth": 28, "heads": 16, "patch": 2}
"""Dimensions of a transformer of a billion parameters."""


def networks() -> Mapping[str, nn.Module]:
    """Return the networks, without memory for their weights."""
    unet = resolve("image", "ddpm64").config.backbone
    with torch.device("meta"):
        return {
            "U-Net of the preset `ddpm64`": UNet(unet, channels=3, dims=2, conditions={}),
            "transformer, width 1,408, 28 blocks": DiT(DiTConfig(**BILLION), channels=4, dims=2, conditions={}),
        }


def rows() -> list[list[str]]:
    """Return the rows of the table."""
    found = []
    for name, network in networks().items():
        parameters = sum(p.numel() for p in network.parameters())
        for n, (link, bandwidth) in LINKS.items():
            for strategy, passes in PASSES.items():
                sent = passes * (n - 1) / n * BYTES * parameters
                time = f"{1e3 * sent / bandwidth:.1f}"
                found.append([name, f"{parameters / 1e6:.1f} M", f"{n}, {link}", strategy, f"{sent / 1e9:.2f}", time])
    return found


def main() -> None:
    """Print the table."""
    head = ["network", "parameters", "GPUs", "strategy", "GB a step", "ms at least"]
    for row in [head, ["---"] * len(head), *rows()]:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
