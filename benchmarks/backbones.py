"""Time a training step (forward and backward) of each network: python benchmarks/backbones.py [--threads 1 2].

Variants take turns, and medians are compared, so that other load on the machine touches all alike: read the ratios,
not the milliseconds. Each network runs in float32 and under bf16 autocast; the EGNN gets the same molecules, of 5 to 19
atoms, padded and packed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, UNetConfig
from polydiff.backbones.egnn import EGNN
from polydiff.backbones.unet import UNet
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.random import streams
from polydiff.space import Euclidean, Space

Variants = dict[str, Callable[[], None]]


def step(network: nn.Module, x: Tensor, space: Space, bf16: bool) -> None:
    """Run a training step without the optimizer."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
        f = network(x, torch.zeros(space.batch, device=x.device), space)
    (f - 1).square().mean().backward()
    network.zero_grad()
    if x.device.type == "cuda":
        torch.cuda.synchronize()


def variants(network: nn.Module, spaces: dict[str, Space], device: str) -> Variants:
    """Return a step for each space and precision."""
    network = network.to(device)
    steps: Variants = {}
    for name, space in spaces.items():
        x = space.noise(streams(0, "benchmark", range(space.batch))).to(device)
        for precision in ("float32", "bf16"):
            steps[f"{precision} {name}".strip()] = partial(step, network, x, space.to(device), precision == "bf16")
    return steps


def unet(config: UNetConfig, batch: int, shape: tuple[int, ...], device: str) -> Variants:
    """Return the steps of a U-Net."""
    network = UNet(config, channels=shape[0], dims=len(shape) - 1, conditions={})
    return variants(network, {"": Euclidean(batch, shape)}, device)


def egnn(config: EGNNConfig, batch: int, device: str) -> Variants:
    """Return the steps of an EGNN."""
    network = EGNN(config, channels=5, dims=3, conditions={})
    sizes = 5 + torch.arange(batch) % 15
    spaces: dict[str, Space] = {
        "padded": DenseMolecules.of_sizes(sizes, 5),
        "packed": PackedMolecules.of_sizes(sizes, 5),
    }
    return variants(network, spaces, device)


def compare(title: str, variants: Variants, rounds: int) -> None:
    """Print each variant's median time, and how much faster it is than the first."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    first = next(iter(medians.values()))
    print(title)
    for name, median in medians.items():
        print(f"  {name:24} {1e3 * median:8.1f} ms  x{first / median:.2f}")


def main() -> None:
    """Measure all networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    said = parser.parse_args()
    audio = UNetConfig(channels=32, mult=(1, 2, 4), strides=(4,), patch=4, blocks=1)
    image = UNetConfig(channels=32, blocks=1)
    for threads in said.threads:
        torch.set_num_threads(threads)
        where = f"{said.device}, {threads} threads"
        compare(f"U-Net, 32 x 1x4096, {where}", unet(audio, 32, (1, 4096), said.device), said.rounds)
        compare(f"U-Net, 64 x 1x8x8, {where}", unet(image, 64, (1, 8, 8), said.device), said.rounds)
        compare(f"EGNN, 64 molecules, {where}", egnn(EGNNConfig(layers=5), 64, said.device), said.rounds)


if __name__ == "__main__":
    main()
