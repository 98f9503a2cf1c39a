"""Time both networks of molecules in every form of a batch: python benchmarks/molecule_networks.py [--rounds 9].

A step is an evaluation and its gradient of a batch of 64 molecules, of sizes as those of the data set `organic`: 13
atoms on average, 20 at most. Batches are packed, padded as they come, or padded after examples were sorted by size
among 8 batches (`train.like_sizes=8`); all of them are timed, one after another. What a layer costs is the difference
between networks of 6 and of 2 layers, over 4. Pairs held are those of padded batches over the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from timing import in_turns, markdown, parser, quartiles, show
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.space import Space
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.machine.allocator import keep_memory

BATCH, BATCHES, K = 64, 8, 5
NETWORKS: dict[str, MoleculeNetConfig] = {
    "egnn, hidden 64": EGNNConfig(hidden=64, aggregation="sum", divisor=4, radial=32, cutoff=5),
    "egnn, hidden 128": EGNNConfig(hidden=128, aggregation="sum", divisor=4, radial=32, cutoff=5),
    "graph_transformer, hidden 64, pair 16": GraphTransformerConfig(
        hidden=64, pair=16, vectors=8, aggregation="sum", divisor=4, cutoff=5
    ),
    "graph_transformer, hidden 128, pair 32": GraphTransformerConfig(aggregation="sum", divisor=4, cutoff=5),
}


def sizes_of_batches(alike: bool) -> list[Tensor]:
    """Return the numbers of atoms of batches, sorted among all or as they come."""
    drawn = (13.2 + 2.7 * torch.randn(BATCH * BATCHES, generator=stream(0, "sizes"))).round().clamp(3, 20).long()
    return list((drawn.sort().values if alike else drawn).split(BATCH))


def layouts() -> dict[str, list[Space]]:
    """Return the batches of each form."""
    loose, alike = sizes_of_batches(False), sizes_of_batches(True)
    return {
        "sparse": [PackedMolecules.of_sizes(sizes, K) for sizes in loose],
        "dense": [DenseMolecules.of_sizes(sizes, K) for sizes in loose],
        "dense, like sizes": [DenseMolecules.of_sizes(sizes, K) for sizes in alike],
    }


def held(spaces: list[Space]) -> float:
    """Return the pairs that batches hold over the real ones."""
    real = sum(int((s.sizes * (s.sizes - 1)).sum()) for s in spaces)  # type: ignore[attr-defined]
    padded = sum(s.mask.numel() * s.mask.shape[1] if isinstance(s, DenseMolecules) else 0 for s in spaces)
    return (padded or real) / real


def network(config: MoleculeNetConfig, layers: int) -> nn.Module:
    """Return a network with weights drawn anew, so that nothing is 0."""
    torch.manual_seed(0)
    made = build_backbone(config.model_copy(update={"layers": layers}), channels=K, dims=3, conditions={})
    nn.init.normal_(made.out.weight, std=config.hidden**-0.5)  # type: ignore[arg-type, union-attr]
    return made


def steps(net: nn.Module, spaces: list[Space]) -> Iterator[None]:
    """Compute a network and its gradient on one batch after another."""
    states = [space.noise(streams(0, "molecules", range(BATCH))) for space in spaces]
    level = torch.zeros(BATCH)
    for x, space in cycle(list(zip(states, spaces, strict=True))):
        net(x, level, space).square().sum().backward()
        net.zero_grad()
        yield


def epoch(running: Iterator[None]) -> None:
    """Take a step on each batch."""
    for _ in range(BATCHES):
        next(running)


def main() -> None:
    """Measure all."""
    args = parser(__doc__, rounds=5).parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    forms = layouts()
    runs: dict[str, Callable[[], object]] = {
        f"{name}/{form}/{layers}": partial(epoch, steps(network(config, layers), spaces))
        for name, config in NETWORKS.items()
        for form, spaces in forms.items()
        for layers in (2, 6)
    }
    timings = in_turns(runs, args.rounds)
    rows = [
        ["network of 6 layers", "batches", "pairs held / real", "ms a step", "ms a layer", "a layer, to the EGNN's"]
    ]
    unit = None
    for name in NETWORKS:
        for form, spaces in forms.items():
            few, many = (1e3 * quartiles(timings[f"{name}/{form}/{n}"].seconds)[1] / BATCHES for n in (2, 6))
            layer = (many - few) / 4
            unit = unit or layer
            rows.append([name, form, f"{held(spaces):.2f}", f"{many:.1f}", f"{layer:.2f}", f"{layer / unit:.2f}"])
    show("Networks of molecules, a step and a layer", markdown(rows), args)


if __name__ == "__main__":
    main()
