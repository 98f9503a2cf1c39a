"""`process=joint`: states of several parts, each with its own kernel.

Its methods are those of `polydiff.core.process`, documented there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.parts.product import Product
from polydiff.core.process.process import PROCESSES, Trained
from polydiff.core.space import Batch, Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.forward import decisive_levels
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import build_objective
from polydiff.gaussian.process.try_sampling import try_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.parts.bound import PartsBound
from polydiff.parts.checks import check_strength, check_unrepeated
from polydiff.parts.estimates import EstimatesByPart, even_levels
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.joint.bound import BOUNDS, JointBound
from polydiff.parts.joint.checks import GAUSSIAN, check_joint, values_of_keys
from polydiff.parts.joint.clock import GaussianLead, JointClock, Lead, ScheduledLead
from polydiff.parts.joint.coupling import Coupling
from polydiff.parts.joint.given import JointInpainting, check_given
from polydiff.parts.joint.grid import Follower, JointGrid, gaussian_rows
from polydiff.parts.joint.part_sampling import sampling_of, with_lead_options
from polydiff.parts.kernel import KERNELS, Kernel, Row, Source, make_kernel
from polydiff.parts.network import PartsNetwork, untrained
from polydiff.parts.objective import PartsObjective
from polydiff.parts.sampling.plan import PartsPlan
from polydiff.parts.schedule import Clock, level_grid, schedule_of
from polydiff.support.errors import UserError, attempt

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.parts import PartConfig
    from polydiff.contract.sections.run import Config
    from polydiff.contract.sections.sampling import SampleConfig
    from polydiff.core.units import Units

KEYS = (
    *("parts", "coupling", "schedule", "schedule_options", "target"),
    *("loss.norm", "loss.weighting", "loss.times", "loss.norm_options"),
    *("loss.weighting_options", "loss.times_options", "loss.components"),
    *("sample.sampler", "sample.options", "sample.spacing", "sample.spacing_options"),
    *("sample.guidance", "sample.guidance_interval"),
)
"""Keys of the first part and of guidance that it reads, of those that only processes read."""

OF_GAUSSIAN = {
    "schedule": "Set parts.{name}.schedule.",
    "schedule_options": "Set parts.{name}.schedule_options.",
    "target": "Leave it out.",
    "loss": "Set parts.{name}.weighting, or leave it out.",
    "sample.sampler": "Set parts.{name}.sampler, or for one request the option {name}.sampler.",
    "sample.spacing": "Set parts.{name}.schedule.",
    "sample.spacing_options": "Set parts.{name}.schedule_options.",
}
"""Key that has an effect only if the first part is Gaussian -> what to set if it is not."""


@dataclass(frozen=True)
class JointProcess(EstimatesByPart):
    """The process of states of several parts, which the key `parts` names in order; the first one is the lead."""

    name: str = "joint"

    @property
    def keys(self) -> Collection[str]:
        return KEYS

    def values(self) -> Mapping[str, Collection[str]]:
        return values_of_keys()

    def check(self, config: Config) -> None:
        check_joint(config)

    def unused(self, config: Config) -> Mapping[str, str]:
        name, first = next(iter(config.parts.items()), ("", None))
        if first is None or first.process == GAUSSIAN:
            return {}
        why = f"the first part, {name}, is {first.process}, not gaussian."
        return {key: f"{why} {advice.format(name=name)}" for key, advice in OF_GAUSSIAN.items()}

    def network(self, config: Config, domain: Domain, device: torch.device) -> PartsNetwork:
        space: Any = domain.blank(streams(0, "blank", [0]), {})[0]
        if not isinstance(space, Product) or space.parts.keys() != config.parts.keys():
            found = ", ".join(space.parts) if isinstance(space, Product) else "one part alone"
            raise UserError(
                f"process=joint: the key parts names {', '.join(config.parts)}, but the states of these data have "
                f"{found}."
            )
        kernels = {
            name: self.kernel(config, name, space.parts[name], domain.statistics.get(name, {}))
            for name, part in config.parts.items()
        }
        return untrained(config, domain, kernels, device)

    def kernel(self, config: Config, name: str, space: Space, statistics: Mapping[str, Any]) -> Kernel:
        """Return the kernel of a part."""
        process = config.parts[name].process
        if process == GAUSSIAN:
            return GaussianKernel(SCHEDULES[config.schedule](**config.schedule_options), config.target, loss_of(config))
        return make_kernel(process, Source({}, space, statistics), f"parts.{name}.process")

    def objective(self, config: Config) -> PartsObjective:
        names = list(config.parts)
        tops = {name: top_of(config, name) for name in names}
        shares = config.coupling.model_dump(exclude={"parts"})
        coupling = Coupling(shares, config.coupling.parts or names, tops)
        weightings = {name: weighting_of(part) for name, part in config.parts.items()}
        weights = {name: part.weight for name, part in config.parts.items()}
        return PartsObjective(clock_of(config), weightings, weights, names[0], coupling)

    def plan(self, model: Trained, how: SampleConfig) -> PartsPlan:
        return self.plan_from(model, how, 1.0)

    def plan_from(self, model: Trained, how: SampleConfig, start: float) -> PartsPlan:
        """Return the plan of a request that begins at a time."""
        config = model.config.model_copy(update={"sample": how})
        check_joint(config)
        clock = clock_of(config)
        own, evaluates = lead_rows(config, start)
        followers = {
            name: Follower(sampling.sampler, KERNELS[part.process].samplers, sampling.options)
            for name, part in list(config.parts.items())[1:]
            for sampling in [sampling_of(config, name)]
        }
        grid = JointGrid(clock, own, evaluates, followers)
        attempt("parts", lambda: grid.rows(1))
        return PartsPlan(model, how, grid)

    def sampler_names(self, config: Config) -> Sequence[str]:
        first = next(iter(config.parts.values()), None)
        return list(SAMPLERS) if first is not None and first.process == GAUSSIAN else ()

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        return space.noise(generators)

    def evaluate(self, network: PartsNetwork, batch: Batch) -> None:
        levels = {
            name: torch.full((batch.space.batch,), kernel.top / 2, dtype=torch.float64)
            for name, kernel in network.kernels.items()
        }
        x: Any = batch.x
        space: Any = batch.space
        network(x, levels, space, batch.cond)

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> PartsPlan:
        check_strength(strength)
        return self.plan_from(model, how, strength)

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> JointInpainting:
        """Return a plan that keeps known values; arguments as in `polydiff.core.process.abilities.Inpaints`."""
        check_unrepeated(self.name, resample)
        plan = self.plan(model, how)
        return JointInpainting(plan.model, plan.how, plan.grid)

    def giving(self, model: Trained, how: SampleConfig, parts: Collection[str]) -> JointInpainting:
        """Return a plan of states whose parts of these names are known; see `polydiff.core.process.abilities.Gives`."""
        check_given(model.config, parts)
        return self.inpainting(model, how, 1, 1)

    def levels(self, model: Trained, n: int) -> Sequence[float]:
        """Return n falling levels of the first part: as of `process=gaussian` if it is Gaussian, else evenly spaced."""
        lead: Kernel = next(iter(model.denoiser.kernels.values()))
        if isinstance(lead, GaussianKernel):
            return decisive_levels(lead.schedule, lead.frame.sigma_data, n)
        return even_levels(lead, n)

    def part_levels(self, model: Trained, level: float) -> Mapping[str, float]:
        at = torch.tensor(level, dtype=torch.float64)
        return {name: float(own) for name, own in clock_of(model.config).at(at).items()}

    @property
    def bounds(self) -> Mapping[str, str]:
        return BOUNDS

    def bound(self, model: Trained, units: Sequence[Units | None], draws: int) -> JointBound | PartsBound:
        """Return the bound of all parts together; without a Gaussian part, that of letters at one time."""
        if wrong := [name for name, part in model.config.parts.items() if not bounded_part(part)]:
            raise UserError(f"process=joint: the kernel of the part {wrong[0]} has no bound.")
        clock = clock_of(model.config)
        if not isinstance(clock.lead, GaussianLead):
            parts = model.config.parts.items()
            times = Clock({name: schedule_of(part.schedule, part.schedule_options) for name, part in parts})
            return PartsBound(model, times, draws, model.config.sample.steps)
        unit = next((each.name for each in units if each is not None), "")
        return JointBound(model, clock, draws, clock.lead.schedule.sigma_min, unit)


def bounded_part(part: PartConfig) -> bool:
    """Return whether the kernel of a part has a bound."""
    return part.process == GAUSSIAN or KERNELS[part.process].bounded


def loss_of(config: Config) -> Loss:
    """Return norm, weighting and noise levels of the Gaussian parts."""
    loss: Loss = build_objective(config).loss
    return loss


def clock_of(config: Config) -> JointClock:
    """Return the clock of a configuration."""
    (name, first), *others = config.parts.items()
    lead: Lead
    if first.process == GAUSSIAN:
        lead = GaussianLead(SCHEDULES[config.schedule](**config.schedule_options), loss_of(config))
    else:
        lead = ScheduledLead(schedule_of(first.schedule, first.schedule_options))
    followers = {other: schedule_of(part.schedule, part.schedule_options) for other, part in others}
    return JointClock(name, lead, followers)


def lead_rows(config: Config, start: float) -> tuple[Sequence[Row], Sequence[bool]]:
    """Return the rows of the first part from a time on, and of each whether it calls the network."""
    name, part = next(iter(config.parts.items()))
    if part.process != GAUSSIAN:
        sampler, options = sampling_of(config, name)
        levels = level_grid(schedule_of(part.schedule, part.schedule_options), config.sample.steps, start)
        rows = KERNELS[part.process].samplers[sampler](levels, 1, **options)
        return rows, [True] * len(rows)
    how = with_lead_options(config).sample
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    first = None if start == 1 else float(schedule.noise_level(torch.tensor(start, dtype=torch.float64)))
    levels, found = try_plan(how, schedule, 1.0, first)
    made: tuple[Sequence[Row], Sequence[bool]] = attempt(
        f"sample.sampler={how.sampler}", lambda: gaussian_rows(levels[0], found)
    )
    return made


def top_of(config: Config, name: str) -> float:
    """Return the level of a part in the prior."""
    if config.parts[name].process == GAUSSIAN:
        return SCHEDULES[config.schedule](**config.schedule_options).sigma_max
    return 1.0


def weighting_of(part: PartConfig) -> str:
    """Return the loss weighting of a part."""
    if part.process == GAUSSIAN:
        return ""
    return part.weighting or "simple"


PROCESSES.register("joint")(JointProcess())
