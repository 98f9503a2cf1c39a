"""What `time_to_quality.py` trains: polydiff and its peers, each by its own recipe on the same examples.

A peer has several variants, sizes of its network and learning rates, of which the best counts; polydiff has its preset
"quick" alone. All are unconditional: polydiff never sees the conditions of the data either.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from audio_peers import README, SMALL, Unet1D, UNetV0
from image_peers import Diffusers, Lucidrains, lucidrains_parts, script_unet
from molecule_recipe import Recipe
from molecule_recipe import T as EDM_STEPS
from molecule_reference import Reference
from torch import Tensor, nn

from polydiff.config.data_defaults import with_data_defaults
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.core.streams import stream
from polydiff.domains.image.codec import unit
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.model.model import Model
from polydiff.training.steps import begin, records_of

VALUES: Mapping[str, Mapping[str, Any]] = {
    "image": {"train.condition_dropout": 1.0},
    "audio": {"train.condition_dropout": 1.0},
    "molecule": {"data.conditions": ()},
}
"""Domain -> keys with which polydiff is unconditional."""

PART = 128
"""Samples that a peer draws together."""


@dataclass(frozen=True)
class Learner:
    """A network in training.

    Arguments:
        step: Takes a training step.
        sample: Number -> so many samples of the averaged weights, in the domain's own form.
        evaluations: Of the network for a sample.
        parameters: Number of weights.
    """

    step: Callable[[], object]
    sample: Callable[[int], Sequence[Any]]
    evaluations: int
    parameters: int


@dataclass(frozen=True)
class Task:
    """What to train.

    Arguments:
        name: Domain.
        values: Keys of polydiff's configuration that choose the data.
        seed: Random seed.
        steps: Steps of the training, over which a learning rate may fall.
        evaluations: Of the sampling of peers; None: their own default.
        domain: Reads and judges.
    """

    name: str
    values: Mapping[str, Any]
    seed: int
    steps: int
    evaluations: int | None
    domain: Any


@dataclass(frozen=True)
class System:
    """A library with its recipe.

    Arguments:
        make: Builds a learner.
        variants: Name -> options of `make`; the first is the smallest.
        decays: Whether the learning rate falls over the steps of a run, so that each budget needs a run of its own.
    """

    make: Callable[..., Learner]
    decays: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"quick": {}})


def open_domain(name: str, values: Mapping[str, Any]) -> Domain:
    """Return the domain that all systems share."""
    return build_domain(resolve(name, "quick", values={**VALUES[name], **values}).config)


def polydiff(task: Task) -> Learner:
    """Return polydiff's preset "quick" in training."""
    own = {**VALUES[task.name], **task.values, "train.steps": task.steps, "seed": task.seed}
    settings = resolve(task.name, "quick", values={"device": "cpu", "train.workers": 0, **own})
    config = with_data_defaults(settings, task.domain).config
    training = begin(config, task.domain)
    records = records_of(config, task.domain, training)
    how = {"guidance": 0.0} if task.domain.conditions else {}  # the estimate without conditions alone
    with warnings.catch_warnings():  # it warns that there is nothing to guide by
        warnings.filterwarnings("ignore", "guidance=0 compares")
        request = Model(config, task.domain, training.average()).request(None, **how)

    def sample(n: int) -> Sequence[Any]:
        return request.joined(range(n), task.seed).examples

    return Learner(lambda: next(records), sample, request.evaluations(), count(training.module))


def count(net: nn.Module) -> int:
    """Return the number of weights."""
    return sum(p.numel() for p in net.parameters())


def shuffled(size: int, batch: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of indices, epoch after epoch, each in an order of its own; what is left over is dropped."""
    epoch = 0
    while True:
        order = torch.randperm(size, generator=stream(seed, "order", epoch)).tolist()
        yield from (order[i : i + batch] for i in range(0, size - batch + 1, batch))
        epoch += 1


def reading(task: Task, batch: int) -> Callable[[], Any]:
    """Return what reads the next batch of examples."""
    domain = task.domain
    order = shuffled(domain.size("train"), min(batch, domain.size("train")), task.seed)
    read = {
        "image": lambda: domain.source.splits["train"].centred(next(order)),
        "audio": lambda: domain.clips.source.clips("train", next(order))[0],
        "molecule": lambda: [domain.dataset.splits["train"][i] for i in next(order)],
    }
    return read[task.name]


def in_parts(sample: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
    """Return what draws n samples, up to `PART` at a time."""
    return lambda n: torch.cat([sample(min(PART, n - i)) for i in range(0, n, PART)])


def pictures(sample: Callable[[int], Tensor]) -> Callable[[int], list[Tensor]]:
    """Return what draws n images, uint8, by a function that draws them in [0, 1]."""
    draw = in_parts(sample)
    return lambda n: list((255 * draw(n).clamp(0, 1)).round().to(torch.uint8).unbind())


def sounds(sample: Callable[[int], Tensor]) -> Callable[[int], list[Tensor]]:
    """Return what draws n sounds in [-1, 1], without what exceeds full scale."""
    draw = in_parts(sample)
    return lambda n: list(draw(n).clamp(-1, 1).float().unbind())


def lucidrains(task: Task, dim: int, mults: Sequence[int], evaluations: int = 250, **recipe: Any) -> Learner:
    """Return denoising_diffusion_pytorch's Unet in its Trainer's loop, with the batch and evaluations of its README."""
    data, used = task.domain.data, task.evaluations or evaluations
    net, diffusion = lucidrains_parts("cpu", dim, mults, data.planes, data.side, used)
    peer, read = Lucidrains(diffusion, **recipe), reading(task, 32)
    return Learner(lambda: peer.step(read().float() / 255), pictures(peer.sample), used, count(net))


def diffusers(task: Task, channels: Sequence[int], evaluations: int = 1000, **recipe: Any) -> Learner:
    """Return diffusers' UNet2DModel in the loop, and with the defaults, of its script for unconditional images."""
    data, used = task.domain.data, task.evaluations or evaluations
    net = script_unet(channels, data.planes, data.side)
    peer, read = Diffusers(net, task.steps, **recipe), reading(task, 16)
    draw = pictures(lambda n: peer.sample(n, used))
    return Learner(lambda: peer.step(unit(read())), draw, used, count(net))


def unet1d(task: Task, dim: int, rate: float, evaluations: int = 1000) -> Learner:
    """Return denoising_diffusion_pytorch's Unet1D in the loop of its Trainer1D, with the batch of its README."""
    used = task.evaluations or evaluations
    peer, read = Unet1D(1, task.domain.data.length, "cpu", dim, rate, used), reading(task, 32)
    draw = sounds(lambda n: 2 * peer.sample(n) - 1)
    return Learner(lambda: peer.step((read() + 1) / 2), draw, used, count(peer.network))


def unetv0(task: Task, config: Mapping[str, Any], rate: float, evaluations: int = 100) -> Learner:
    """Return audio_diffusion_pytorch's UNetV0; its README suggests 10 to 100 evaluations."""
    used = task.evaluations or evaluations
    peer, read = UNetV0(1, task.domain.data.length, "cpu", config, rate), reading(task, 16)
    draw = sounds(lambda n: peer.sample(n, used))
    return Learner(lambda: peer.step(read()), draw, used, count(peer.network))


def edm(task: Task, width: int, layers: int, rate: float = 1e-4, decay: float = 0.9999) -> Learner:
    """Return the network and recipe of E(3) diffusion, with its scales of elements and charges."""
    known = task.domain.statistics
    codec = Codec(tuple(known["elements"]), tuple(known["frequencies"]), 1.0, 0.25, number_scale=0.1, centred=False)
    used = task.evaluations or EDM_STEPS + 1
    peer, read = Recipe(Reference(width, layers, codec.features), rate, decay), reading(task, 64)
    numbers, weights = torch.tensor(known["sizes"]).T

    def step() -> None:
        x, space = codec.encode(read())
        assert isinstance(space, DenseMolecules)
        peer.step(x, space)

    def sample(n: int) -> Sequence[Any]:
        sizes = numbers[torch.multinomial(weights.double(), n, replacement=True)]
        parts = [DenseMolecules.of_sizes(part, codec.features) for part in sizes.split(PART)]
        return [one for space in parts for one in codec.decode(peer.sample(space, used), space)]

    return Learner(step, sample, used, count(peer.model))


OURS = System(polydiff, decays=True)
FASTER = 1e-3
"""A learning rate that suits small networks, beside those of the recipes."""
LUCIDRAINS = {
    "dim 32": {"dim": 32, "mults": (1, 2, 4), "rate": 8e-5},
    "dim 32, lr 1e-3": {"dim": 32, "mults": (1, 2, 4), "rate": FASTER},
    "dim 64": {"dim": 64, "mults": (1, 2, 4), "rate": 8e-5},
    "dim 64, lr 1e-3": {"dim": 64, "mults": (1, 2, 4), "rate": FASTER},
    "dim 64, lr 1e-3, bf16": {"dim": 64, "mults": (1, 2, 4), "rate": FASTER, "precision": "bf16"},
}
DIFFUSERS = {
    "32-64": {"channels": (32, 64)},
    "32-64, lr 1e-3": {"channels": (32, 64), "rate": FASTER},
    "64-128-128": {"channels": (64, 128, 128)},
    "64-128-128, lr 1e-3": {"channels": (64, 128, 128), "rate": FASTER},
    "64-128-128, lr 1e-3, bf16": {"channels": (64, 128, 128), "rate": FASTER, "precision": "bf16"},
}
SYSTEMS: Mapping[str, Mapping[str, System]] = {
    "image": {
        "polydiff": OURS,
        "denoising_diffusion_pytorch": System(lucidrains, variants=LUCIDRAINS),
        "diffusers": System(diffusers, decays=True, variants=DIFFUSERS),
    },
    "audio": {
        "polydiff": OURS,
        "denoising_diffusion_pytorch": System(
            unet1d,
            variants={
                "dim 16, lr 1e-3": {"dim": 16, "rate": FASTER},
                "dim 32": {"dim": 32, "rate": 8e-5},
                "dim 32, lr 1e-3": {"dim": 32, "rate": FASTER},
            },
        ),
        "audio_diffusion_pytorch": System(
            unetv0,
            variants={
                "six levels": {"config": SMALL, "rate": 1e-4},
                "six levels, lr 1e-3": {"config": SMALL, "rate": FASTER},
                "README": {"config": README, "rate": 1e-4},
            },
        ),
    },
    "molecule": {
        "polydiff": OURS,
        "E(3) diffusion": System(
            edm,
            variants={
                "4 x 64, lr 1e-3": {"width": 64, "layers": 4, "rate": FASTER, "decay": 0.999},
                "6 x 128, lr 1e-3": {"width": 128, "layers": 6, "rate": FASTER, "decay": 0.999},
                "9 x 256, as for QM9": {"width": 256, "layers": 9},
            },
        ),
    },
}
"""Domain -> name of a library -> its recipe."""
