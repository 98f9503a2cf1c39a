"""The network of a run as a function of tensors alone: from noisy states and their levels to estimates of clean ones.

Symbols: B batch, D estimate of the clean state.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import conditions_of
from polydiff.core.conditions import ESTIMATE, Aligned, Kind
from polydiff.core.space import Euclidean, Space
from polydiff.core.streams import streams
from polydiff.export.deploys import HasSpaceTensors
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

EXAMPLES = 3
"""Samples of the batch with which a network is traced; its size can be any other."""


def check_exportable(model: Model) -> None:
    """Raise UserError unless a run's network is a function of noisy states, their levels and conditions."""
    config = model.config
    if config.process != "gaussian" or config.learn != "denoise":
        what = f"learn={config.learn}" if config.learn != "denoise" else f"process={config.process}"
        raise UserError(f"{what}: only runs with process=gaussian are exported to other libraries.")
    if config.codec is not None:
        raise UserError(f"The run works in the codes of {config.codec}. Runs with a codec are not exported yet.")
    if task := sorted(task_conditions(model.domain) & model.domain.conditions.keys()):
        raise UserError(
            f"The run is conditioned on {', '.join(task)} of a given example. Export runs of task=generate."
        )


@dataclass(frozen=True)
class FixedRange:
    """The ends of a schedule, which is all that a denoiser reads of it.

    Attributes:
        sigma_min: Lowest noise level.
        sigma_max: Highest noise level.
    """

    sigma_min: float
    sigma_max: float


def with_fixed_range(denoiser: Any) -> Any:
    """Return the denoiser with the ends of its schedule as numbers; a table's would be read from a traced tensor."""
    schedule = denoiser.schedule
    if isinstance(schedule, nn.Module):
        return denoiser
    other = copy.copy(denoiser)
    other.schedule = FixedRange(schedule.sigma_min, schedule.sigma_max)
    return other


class Estimate(nn.Module):
    """D as a function of tensors.

    Arguments:
        denoiser: The denoiser of a run.
        domain: Its domain.
        space_names: Names of the inputs that describe the space (`HasSpaceTensors`); (): states live in R^n.
    """

    def __init__(self, denoiser: Any, domain: Any, space_names: tuple[str, ...]) -> None:
        super().__init__()
        self.denoiser, self.domain, self.space_names = denoiser, domain, space_names

    def forward(self, x: Tensor, sigma: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Return D, of the shape of x.

        Arguments:
            x: Noisy states x_0 + sigma eps, (B, ...).
            sigma: Noise levels, (B,).
            inputs: Tensors of the space and conditions, by name.
        """
        cond = {name: value for name, value in inputs.items() if name not in self.space_names}
        space: Space = (
            self.domain.space_of({name: inputs[name] for name in self.space_names})
            if self.space_names
            else Euclidean(x.shape[0], tuple(x.shape[1:]), x.device)
        )
        estimate: Tensor = self.denoiser(x, sigma, space, cond or None)
        return estimate


@dataclass(frozen=True)
class Exported:
    """A run's network with inputs to trace it with.

    Arguments:
        model: The run's model.
    """

    model: Model

    @cached_property
    def blank(self) -> tuple[Space, dict[str, Tensor], dict[str, Tensor]]:
        """A space of a few samples, its tensors, and conditions."""
        domain = self.model.domain
        space, cond = domain.blank(streams(0, "blank", range(EXAMPLES)), {})
        tensors: dict[str, Tensor] = {}
        if provides(domain, HasSpaceTensors):
            tensors = domain.space_tensors(space)
            space = domain.space_of(tensors)
        return space, tensors, {name: (cond or {})[name] for name in sorted(cond or {})}

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Name -> kind of the conditions that are inputs."""
        own = {name: kind for name, kind in conditions_of(self.model.domain).items() if name in self.blank[2]}
        x = self.example[0]
        return own | ({ESTIMATE: Aligned(x.shape[1])} if ESTIMATE in self.example[2] else {})

    @cached_property
    def network(self) -> Estimate:
        """The network, in float32 on the CPU."""
        denoiser = with_fixed_range(self.model.denoiser.with_precision("float32"))
        return Estimate(denoiser, self.model.domain, tuple(self.blank[1])).eval()

    @cached_property
    def example(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Noisy states, noise levels and further inputs."""
        space, tensors, cond = self.blank
        x = space.noise(streams(0, "sample", range(EXAMPLES)))
        schedule = self.model.denoiser.schedule
        sigma = torch.linspace(0.1, 0.9, EXAMPLES) * min(schedule.sigma_max, 10.0)
        inputs = {**tensors, **cond}
        if self.model.config.backbone.self_condition:
            inputs[ESTIMATE] = torch.full_like(x, torch.nan)
        return x, sigma, inputs

    def axes(self, name: str) -> list[str | int]:
        """Return the sizes of the axes of an input: a number, or the name of one that can be any."""
        x, _, inputs = self.example
        if name in ("x", ESTIMATE):
            if self.blank[1]:
                return ["batch", "size", *x.shape[2:]]
            return ["batch", x.shape[1], *(["height", "width"] if x.ndim == 4 else ["length"])[: x.ndim - 2]]
        if name == "sigma":
            return ["batch"]
        if name in self.blank[1]:
            return ["batch", "size", *inputs[name].shape[2:]]
        axes = self.kinds[name].axes
        return ["batch", *(f"{name}_length" if isinstance(axis, str) else axis for axis in axes)]
