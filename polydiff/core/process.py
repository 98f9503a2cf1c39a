"""Processes: the interface between a kind of diffusion and training, sampling, judging and editing.

A process maps clean states to a prior, and samples of the prior back to clean states. The rest of polydiff knows no
noise level, no schedule and no sampler. It builds a network and an objective (`Process.network`, `Process.objective`),
plans the sampling once a request (`Generates.plan`), and runs this plan once a batch (`Plan.run`). A state is a tensor
(R, ...) or a mapping of parts, as the process and its spaces agree.

Optional abilities have protocols of their own: `Generates`, `Varies`, `Inpaints`, `Solves`, `Interpolates`,
`TriesSampler`, `Reconstructs`, `Embeds` and `polydiff.core.likelihood.Bounds`; a plan may be able to show its way
(`Traces`). To add a process, write an object with the methods of `Process` and of the abilities that it has, and
register it in `PROCESSES`.

Symbols: B number of samples, R rows of a state (`polydiff.core.space`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from polydiff.core.registry import Registry
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import Tensor, nn

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import Config, SampleConfig
    from polydiff.core.conditions import Condition
    from polydiff.core.objective import Objective
    from polydiff.core.space import Batch, Measurement, Space, State


class Trained(Protocol):
    """A trained network with its configuration; `polydiff.Model` is one."""

    @property
    def config(self) -> Config:
        """Configuration of the run that trained it."""

    @property
    def denoiser(self) -> Any:
        """The network from `Process.network`, with trained weights."""

    @property
    def compiled(self) -> Any:
        """The compiled form of `denoiser`, with the same weights."""

    @property
    def step(self) -> int:
        """Number of optimizer steps of its training."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""


class Known(NamedTuple):
    """The part of clean states that is known.

    Attributes:
        x: Clean states, shape (R, ...); unknown elements may have any value.
        mask: 1 (or True) for known elements, 0 for unknown ones; broadcasts against `x`. A mapping of masks if `x` is
            a mapping of parts.
    """

    x: State
    mask: Tensor


class Observed(NamedTuple):
    """A linear measurement of clean states, its values y, and the standard deviation of the noise in them."""

    measurement: Measurement
    y: Tensor
    noise: float


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One batch of samples to draw, on the device of the network.

    Arguments:
        space: Space of the B samples.
        cond: Conditions of the samples, name -> tensor (B, ...); None: unconditional.
        seed: Seed of all random numbers.
        indices: Indices of the samples in the request, B numbers. The sample with index i uses random streams named by
            (seed, i) only, so it does not depend on its batch.
        guided: Whether guidance extrapolates away from a weak estimate.
        weak: Conditions of the weak estimate, name -> tensor (B, ...); None: unconditional.
        joined: Whether one call of the network, on the batch joined with itself, computes both estimates.
        compile: Whether to use the compiled network.
        init: Clean states (R, ...) to start from, after noise is added, for a plan of `Varies`; None: start from the
            prior.
        known: The known part of the states, for a plan of `Inpaints`; None: nothing is known.
        observed: A measurement of the states, for a plan of `Solves`; None: none.
    """

    space: Space
    cond: Condition | None
    seed: int
    indices: Sequence[int]
    guided: bool = False
    weak: Condition | None = None
    joined: bool = False
    compile: bool = False
    init: State | None = None
    known: Known | None = None
    observed: Observed | None = None


class Plan(Protocol):
    """A fixed way of sampling: made once a request, run once a batch."""

    def run(self, draw: Draw, guide: Trained | None = None) -> State:
        """Return sampled clean states, shape (R, ...).

        Arguments:
            draw: The batch to sample.
            guide: A worse model that computes the weak estimate; None: the model itself, conditioned on `draw.weak`.

        Raises:
            UserError: The states are not finite, or far larger than clean states.
        """

    def evaluations(self, guided: bool) -> int | None:
        """Return the number of network evaluations a sample; None if it varies.

        Arguments:
            guided: Whether guidance needs a second estimate.
        """


class Moment(NamedTuple):
    """One state on the way from the prior to a sample.

    Attributes:
        level: Noise level of the state; 0 at the end.
        x: States (R, ...), scaled to the spread of clean states, so that a domain can decode them.
        estimate: The network's estimate of the clean states, given x: E[x_0 | x], guided as the draw is; (R, ...).
    """

    level: float
    x: State
    estimate: State


class Traces(Protocol):
    """A plan that shows the states on its way; the report draws them. Without it, the page has no such picture."""

    def trace(self, draw: Draw, guide: Trained | None = None) -> Iterator[Moment]:
        """Yield every state at which the network is evaluated, then the sample itself; nothing if these are unknown.

        Arguments as in `Plan.run`.
        """


class Process(Protocol):
    """A kind of diffusion, such as Gaussian diffusion."""

    @property
    def name(self) -> str:
        """Name in the registry, which is the value of the key `process`."""

    def check(self, config: Config) -> None:
        """Raise UserError unless all names and options of a configuration exist and are compatible."""

    def network(self, config: Config, domain: Domain, device: torch.device) -> nn.Module:
        """Return the untrained network of a configuration, on a device; the seed determines its weights."""

    def objective(self, config: Config) -> Objective[Any]:
        """Return the objective that training minimises."""


PROCESSES: Registry[Process] = Registry("process")
"""Name -> process. `polydiff.config.processes.process_of` registers the built-in processes, then looks a name up."""


LEARNERS: Registry[Process] = Registry("value of learn")
"""Value of the key `learn`, besides denoise -> how a run trains what is no diffusion, such as an autoencoder."""


def written(process: Process) -> str:
    """Return how a configuration names a process, such as "process=gaussian" or "learn=encode"."""
    learned = process.name in LEARNERS.loaded() and LEARNERS[process.name] is process
    return f"{'learn' if learned else 'process'}={process.name}"


PROCESS_KEYS = (
    *("schedule", "schedule_options", "target", "loss"),
    *(f"sample.{name}" for name in ("sampler", "options", "spacing", "spacing_options", "guidance")),
    *(f"sample.guidance_{name}" for name in ("method", "options", "interval")),
)
"""Keys of a configuration, or whole sections, that only the process reads, if at all."""


class Generates(Protocol):
    """A process whose network generates samples. Without it, a run trains a stage of another run, such as a codec."""

    def plan(self, model: Trained, how: SampleConfig) -> Plan:
        """Return a plan for sampling from the prior.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.

        Raises:
            UserError: An option is wrong; raised before the network is called.
        """

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        """Draw states (R, ...) that do not depend on the data, on a scale that a domain can decode.

        Arguments:
            space: Space of the B samples.
            generators: B random streams, one a sample.
        """

    def evaluate(self, network: nn.Module, batch: Batch) -> None:
        """Call the network once on a batch, so that its time, memory or operations can be measured."""


class NamesKeys(Protocol):
    """A process that says which of the keys in `PROCESS_KEYS` it reads. The others are an error where a user sets them.

    The built-in process reads all. Without this attribute, another process gets a warning instead of an error.
    """

    @property
    def keys(self) -> Collection[str]:
        """Dotted keys, such as {"sample.guidance"}; "loss" stands for its whole section."""


class Varies(Protocol):
    """A process that can start from given states with part of the noise added.

    This is SDEdit (Meng et al., 2021, https://arxiv.org/abs/2108.01073).
    """

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> Plan:
        """Return a plan for draws with `init`.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            strength: Where to start between the data (0) and the prior (1).
        """


class Inpaints(Protocol):
    """A process that can sample the unknown part of states whose other part is known."""

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> Plan:
        """Return a plan for draws with `known`.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            jump: Number of steps in each segment of the plan.
            resample: How often each segment is run; 1: no segment is repeated.
        """


class Solves(Protocol):
    """A process that can sample states of which a linear measurement is given."""

    @property
    def solvers(self) -> Mapping[str, Mapping[str, Any]]:
        """Name of each method -> keys of the section `sample` that it needs, with their defaults."""

    def solving(self, model: Trained, how: SampleConfig, solver: str, options: Mapping[str, Any]) -> Plan:
        """Return a plan for draws with `observed`.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            solver: Name of the method, one of `solvers`.
            options: Its options.
        """


class Interpolates(Protocol):
    """A process with a deterministic map to the prior and back, which can interpolate between two states."""

    def between(
        self,
        model: Trained,
        how: SampleConfig,
        ends: tuple[State, State],
        draw: Draw,
        shares: Sequence[float],
        steps: int,
    ) -> Iterator[State]:
        """Yield interpolated states (R, ...), one for each element of `shares`.

        Arguments:
            model: The network to sample with.
            how: Sampler, guidance and their options.
            ends: Two batches of clean states, (R, ...) each.
            draw: Space, conditions and random streams of the batch.
            shares: Positions between the first end (0) and the second (1).
            steps: Number of steps to the prior, and of steps back.
        """


class Reconstructs(Protocol):
    """A process that trains an autoencoder."""

    def reconstruct(self, model: Trained, batch: Batch, error: float, generators: Sequence[torch.Generator]) -> State:
        """Return the states (R, ...) that clean states become by being encoded and decoded.

        Arguments:
            model: The autoencoder.
            batch: Clean states.
            error: Standard deviation of the noise that is added to codes, as a multiple of the spread of each channel
                in the batch; 0: none.
            generators: B random streams of that noise.
        """

    def rate(self, model: Trained, batch: Batch) -> tuple[Tensor, float]:
        """Return the rate of the codes in nats a number, (B,), and how many times fewer numbers a code has."""


class Embeds(Protocol):
    """A process that trains encoders of examples and of their texts to vectors that can be compared."""

    def embed(self, model: Trained, x: State, cond: Condition) -> tuple[Tensor, Tensor]:
        """Return unit vectors of clean states and of their texts, (B, E) each.

        Arguments:
            model: The encoders.
            x: Clean states (B, ...).
            cond: Conditions of the states; texts are read, others are ignored.
        """


class TriesSampler(Protocol):
    """A process that can test a sampler on data for which the exact denoiser is known."""

    def sampler_spread(self, model: Trained, how: SampleConfig) -> float | None:
        """Return the standard deviation of samples that are drawn for data N(0, 1) with the exact denoiser.

        Arguments:
            model: The model whose schedule is used.
            how: Sampler, steps and their options.

        Returns:
            The standard deviation, ideally 1; None if the sampler works only with a network trained for it.
        """


def generating(process: Process) -> Generates:
    """Return the process with its ability to generate samples; a process without it raises a UserError."""
    if not provides(process, Generates):
        raise lacks(process, "generate samples")
    return process


def lacks(process: Process, what: str) -> UserError:
    """Return the error for an ability that a process does not have; `what` is a verb phrase such as "inpaint"."""
    return UserError(f"{written(process)}: this process cannot {what}.")
