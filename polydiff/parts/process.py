"""Processes of states of one part: masked, uniform and marginal letters, and those of further kernels.

Their methods are those of `polydiff.core.process` and `polydiff.core.likelihood.Bounds`, documented there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.parts.product import WHOLE, as_parts, as_product
from polydiff.core.process.process import PROCESSES, Trained, lacks
from polydiff.core.space import Batch, Space, State
from polydiff.core.streams import streams
from polydiff.parts.bound import BOUNDS, PartsBound
from polydiff.parts.checks import check_part_names, check_strength, check_unrepeated
from polydiff.parts.estimates import EstimatesByPart, even_levels
from polydiff.parts.kernel import KERNELS, KernelEntry, Source, make_kernel
from polydiff.parts.network import PartsNetwork, untrained
from polydiff.parts.objective import PartsObjective
from polydiff.parts.sampling.plan import PartsPlan
from polydiff.parts.sampling.rows import OnePart
from polydiff.parts.schedule import LEVEL_SCHEDULES, Clock, schedule_of
from polydiff.support.errors import attempt

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config
    from polydiff.contract.sections.sampling import SampleConfig
    from polydiff.core.units import Units

KEYS = (
    *("schedule", "schedule_options", "loss.weighting"),
    *("sample.sampler", "sample.options", "sample.guidance", "sample.guidance_interval"),
)
"""Keys that a process of one part reads, of those that only processes read."""


@dataclass(frozen=True)
class OnePartProcess(EstimatesByPart):
    """The process of states of one part, with the kernel of its name.

    Arguments:
        name: Name of the kernel, and of the process.
    """

    name: str

    @property
    def entry(self) -> KernelEntry:
        """The kernel's entry in the registry."""
        return KERNELS[self.name]

    @property
    def states(self) -> str:
        """What its states are (`polydiff.parts.kernel.KernelEntry`)."""
        return self.entry.states

    @property
    def suits(self) -> Mapping[str, Any]:
        """Dotted key -> value: defaults of a configuration with this process."""
        # its levels go from 0 to 1, so an interval of noise levels means nothing to it
        return {"sample.guidance_interval": None, **self.entry.suits}

    @property
    def keys(self) -> Collection[str]:
        return KEYS

    def values(self) -> Mapping[str, Collection[str]]:
        own = {"loss.weighting": self.entry.weightings, "sample.sampler": [*self.entry.samplers]}
        return {"schedule": [*LEVEL_SCHEDULES], **own}

    def check(self, config: Config) -> None:
        check_part_names(config, self.entry)

    def network(self, config: Config, domain: Domain, device: torch.device) -> PartsNetwork:
        space, _ = domain.blank(streams(0, "blank", [0]), {})
        kernel = make_kernel(self.name, Source({}, space, domain.statistics))
        return untrained(config, domain, {WHOLE: kernel}, device)

    def objective(self, config: Config) -> PartsObjective:
        return PartsObjective(clock_of(config), {WHOLE: config.loss.weighting}, {WHOLE: 1.0}, WHOLE)

    def plan(self, model: Trained, how: SampleConfig) -> PartsPlan:
        return self.plan_from(model, how, 1.0)

    def plan_from(self, model: Trained, how: SampleConfig, start: float) -> PartsPlan:
        """Return the plan of a request that begins at a time."""
        config = model.config.model_copy(update={"sample": how})
        check_part_names(config, self.entry)
        schedule = schedule_of(config.schedule, config.schedule_options)
        grid = OnePart(WHOLE, self.entry, schedule, how.sampler, how.steps, how.options, start)
        attempt(f"sample.options={how.options}", lambda: grid.rows(1))
        return PartsPlan(model, how, grid)

    def sampler_names(self, config: Config) -> Sequence[str]:
        return list(self.entry.samplers)

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        return space.noise(generators)

    def evaluate(self, network: PartsNetwork, batch: Batch) -> None:
        level = torch.full((batch.space.batch,), 0.5, dtype=torch.float64)
        space = as_product(batch.space)
        network(as_parts(batch.x), dict.fromkeys(network.kernels, level), space, batch.cond)

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> PartsPlan:
        check_strength(strength)
        return self.plan_from(model, how, strength)

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> PartsPlan:
        """Return a plan that keeps known values: exactly conditioned on them if the kernel is `masked`.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            jump: Unused.
            resample: Must be 1: there are no repeated segments.
        """
        check_unrepeated(self.name, resample)
        return self.plan(model, how)

    def levels(self, model: Trained, n: int) -> Sequence[float]:
        return even_levels(model.denoiser.kernels[WHOLE], n)

    def part_levels(self, model: Trained, level: float) -> Mapping[str, float]:
        return {WHOLE: level}

    @property
    def bounds(self) -> Mapping[str, str]:
        if not self.entry.bounded:
            raise lacks(self, "bound the likelihood of data")
        return BOUNDS

    def bound(self, model: Trained, units: Sequence[Units | None], draws: int) -> PartsBound:
        return PartsBound(model, clock_of(model.config), draws, model.config.sample.steps)


def clock_of(config: Config) -> Clock:
    """Return the clock of a process of one part."""
    return Clock({WHOLE: schedule_of(config.schedule, config.schedule_options)})


def register_kernel(name: str, entry: KernelEntry) -> None:
    """Register a kernel, and the process whose states are one part of it, under one name."""
    KERNELS.register(name)(entry)
    PROCESSES.register(name)(OnePartProcess(name))
