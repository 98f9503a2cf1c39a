"""What processes of a test do that hold a part of the weights each (`together`)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.objective import Objective
from polydiff.machine.processes.shards import kept, local
from polydiff.machine.ranks import joined
from polydiff.run.averages import MovingAverage
from polydiff.run.checkpoint import load_weights
from polydiff.stages.open import open_domain
from polydiff.training.loop import Training
from polydiff.training.optimizers import clip, optimizer_tensors, restore_optimizer
from polydiff.training.processes.sharding import Sharding, average_rest
from polydiff.training.steps import begin, records_of


def shares(keys: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Take a step on images; return of each part of a training how many numbers this process holds, and of how many."""
    with joined(60):
        config = resolve("image", values=keys).config
        domain = open_domain(config)
        training = begin(config, domain)
        next(records_of(config, domain, training))
        parts = {
            "weights": training.module.parameters(),
            "average": training.ema.parameters(),
            "optimizer": optimizer_tensors(training.module, training.optimizer).values(),
            "averages": training.averages.tensors().values() if training.averages else (),
        }
        known = {name: list(tensors) for name, tensors in parts.items()}
        return {name: (count(local(tensors)), count(tensors)) for name, tensors in known.items()}


def count(tensors: Iterable[Tensor]) -> int:
    return sum(x.numel() for x in tensors)


class Layer(nn.Linear):
    """A unit of `Net`."""


class Net(nn.Module):
    """A backbone whose rows two processes cannot divide evenly, and what is learned beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(Layer(5, 11), nn.SiLU(), Layer(11, 9), nn.Linear(9, 1))
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.backbone(x) * self.scale.sum()
        return out


def begun(name: str, saved: Mapping[str, Mapping[str, Tensor]], world: int) -> Training[Net]:
    """Return a training of `Net` from its beginning, or from what `trained` saved."""
    torch.manual_seed(0)
    config = OptimConfig(name=name, lr=0.03, weight_decay=0.1)
    sharding = Sharding(["Layer"], world) if world > 1 else None
    training = Training(Net(), Objective(), config, widths=(0.1,), sharding=sharding)
    if saved:
        load_weights(training.module, saved["weights"])
        load_weights(training.ema, saved["average"])
        # copied, as training changes them in place, also where processes share their memory
        restore_optimizer(training.module, training.optimizer, copy.deepcopy(saved["optimizer"]))
        assert training.averages
        training.averages.restore(saved["averages"])
    return training


def trained(name: str, saved: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Take three steps with an optimizer and return all that a checkpoint holds, and what else is worth comparing.

    The two samples of a step are one of each process, or both of one process.
    """
    with joined(60) as here:
        training = begun(name, saved, here.world)
        net, averages, norms = training.module, training.averages, []
        assert averages
        usual = MovingAverage(training.ema, net, 0.9)
        first = 3 if saved else 0
        for step in range(first, first + 3):
            x = torch.randn(2, 5, generator=torch.Generator().manual_seed(step))[here.rows(2 // here.world)]
            net(x).square().mean().backward()
            if training.sharding:
                average_rest(net.parameters(), here)
            norms.append(clip(net.parameters(), 0.1))
            training.optimizer.step()
            training.optimizer.zero_grad()
            usual.update(step)
            averages.update(net, step)
        parts = {
            "weights": net.state_dict(),
            "average": training.ema.state_dict(),
            "optimizer": optimizer_tensors(net, training.optimizer),
            "averages": averages.tensors(),
        }
        found = {part: kept(tensors, keep=True) for part, tensors in parts.items()}
        sampled = training.average()(torch.ones(1, 5))
        return {**found, "else": {"norms": torch.stack(norms), "sampled": sampled}}
