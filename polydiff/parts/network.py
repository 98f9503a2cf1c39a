"""The network of a process of parts: a backbone, and the kernels that say what it sees and what its outputs mean."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from polydiff.core.conditions import Condition
from polydiff.core.parts.product import WHOLE, Parts, Product
from polydiff.machine.compiler import need_compiler
from polydiff.machine.device import pick_precision
from polydiff.parts.kernel import KERNELS, Kernel
from polydiff.parts.known import imposed

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config

Levels = Mapping[str, Tensor]
"""Name of a part -> its levels, (B,), or () if all samples share one."""
LEVEL = "_level_"
"""Beginning of the name of the condition that holds the level of a part other than the first conditioned one."""


def level_conditions(config: Config) -> Sequence[str]:
    """Return the conditions that hold the levels of parts after the first one whose level conditions the network.

    The kernels must be registered (`polydiff.config.processes.register_built_in`). () if all parts are at the levels of
    one time (coupling.same=1), which the first one's level then says.
    """
    if config.coupling.same >= 1:
        return ()
    conditioning = [
        name
        for name, part in config.parts.items()
        if part.process not in KERNELS or KERNELS[part.process].conditioned  # gaussian is in no registry of kernels
    ]
    return [LEVEL + name for name in conditioning[1:]]


def untrained(config: Config, domain: Domain, kernels: Mapping[str, Kernel], device: torch.device) -> PartsNetwork:
    """Return the untrained network of a configuration, on a device; the seed determines its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = domain.backbone()
    precision = pick_precision(config.train.precision, device)
    return PartsNetwork(backbone, kernels, precision, level_conditions(config)).to(device)


class PartsNetwork(nn.Module):
    """A backbone on corrupted parts.

    Arguments:
        backbone: Called as backbone(x, number, space, cond), with the tensor and the space of a state of one part, else
            with mappings of parts and a `Product`. The numbers (B,) say the level of the first part whose kernel is
            conditioned on it; those of further such parts may be the conditions `LEVEL` + name.
        kernels: Name of a part -> its kernel.
        precision: "float32" or "bf16", the autocast precision of the backbone.
        conditions: Those of these conditions that the backbone has (`level_conditions`).
    """

    def __init__(
        self,
        backbone: nn.Module,
        kernels: Mapping[str, Kernel],
        precision: str = "float32",
        conditions: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.backbone, self.kernels, self.precision = backbone, dict(kernels), precision
        self.conditions = frozenset(conditions)

    def forward(self, x: Parts, levels: Levels, space: Product, cond: Condition | None = None) -> dict[str, Tensor]:
        """Return the output F of each part, at least float32.

        Arguments:
            x: Corrupted parts.
            levels: Level of each part.
            space: Where the parts live.
            cond: Conditions; None: none.
        """
        entered = {
            name: kernel.enter(x[name], levels[name], space.parts[name]) for name, kernel in self.kernels.items()
        }
        number, further = self.numbers(levels, space)
        cond = {**(cond or {}), **further} or None
        with self.autocast(number.device):
            if self.kernels.keys() == {WHOLE}:
                out = {WHOLE: self.backbone(entered[WHOLE], number, space.parts[WHOLE], cond)}
            else:
                out = self.backbone(entered, number, space, cond)
        outputs = {name: f if f.dtype == torch.float64 else f.float() for name, f in out.items()}
        return imposed(self.kernels, outputs, x, levels, space, cond)

    def numbers(self, levels: Levels, space: Product) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the number (B,) for the backbone, zero if no part is conditioned on its level, and its conditions."""
        weight = next(self.backbone.parameters())  # of which each process may hold a part
        like: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}

        def each(level: Tensor) -> Tensor:
            return level.to(**like) if level.ndim else torch.full((space.batch,), float(level), **like)

        found = {name: each(kernel.number(levels[name])) for name, kernel in self.kernels.items() if kernel.conditioned}
        if not found:
            return torch.zeros(space.batch, **like), {}
        first, *others = found
        return found[first], {LEVEL + name: found[name] for name in others if LEVEL + name in self.conditions}

    def with_precision(self, precision: str) -> PartsNetwork:
        """Return this network with another autocast precision; the two share their weights."""
        if precision == self.precision:
            return self
        other = copy.copy(self)
        other.precision = precision
        return other

    def compile(self, **how: Any) -> None:
        """Compile the backbone with `torch.compile` when it is next called; arguments as of `torch.compile`."""
        if how.get("backend", "inductor") == "inductor" and any(p.device.type == "cpu" for p in self.parameters()):
            need_compiler()
        self.backbone.compile(**how)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the backbone runs."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)
