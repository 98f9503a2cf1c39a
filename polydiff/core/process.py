"""The seam at which a kind of diffusion stands: all that training, running, judging and editing need of one.

A process leads clean states to draws from a prior, and back. The rest of polydiff knows no noise level, no schedule and
no sampler: it makes a network and an objective (`Process.network`, `Process.objective`), plans once how the draws of a
request become samples (`Process.plan`), and runs that plan a batch at a time (`Plan.run`). States are what the process
and its spaces agree on: a tensor, or a mapping of parts. Levels and what is done at each stay inside the process.

What not every process can do are abilities, protocols of their own: `Varies`, `Inpaints`, `Interpolates`, `Bounds`,
`TriesSampler`. To add a process, write one object with these methods and register it in `PROCESSES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from polydiff.core.registry import Registry
from polydiff.support.errors import UserError

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import Tensor, nn

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import Config, SampleConfig
    from polydiff.core.conditions import Condition
    from polydiff.core.objective import Objective
    from polydiff.core.space import Batch, Space, State
    from polydiff.core.units import Units


class Trained(Protocol):
    """A trained network with what describes it, as `polydiff.Model` has them."""

    @property
    def config(self) -> Config:
        """Configuration of its run."""

    @property
    def denoiser(self) -> Any:
        """The network that `Process.network` made, with its weights."""

    @property
    def compiled(self) -> Any:
        """A compiled network with the same weights."""

    @property
    def step(self) -> int:
        """Optimizer steps that it was trained for."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""


class Known(NamedTuple):
    """The part of clean states that is known.

    Attributes:
        x: Clean states; what they hold elsewhere does not matter.
        mask: 1 (or True) where known, broadcasting against a state.
    """

    x: State
    mask: Tensor


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One batch of samples to draw, on the device of the network.

    Arguments:
        space: Where the B states live.
        cond: Their conditions.
        seed: Seed of everything random.
        indices: Numbers of the samples, B; sample i takes its random numbers from the stream (seed, i) alone.
        guided: Whether there is a weak estimate to guide away from.
        weak: Conditions of the weak estimate; None: no condition is given.
        joined: Whether one call of the network with the batch twice computes both estimates.
        compile: Whether the compiled network computes this batch.
        init: Clean states to begin from, with noise added; None: begin from the prior.
        known: The part of the states that is known, for a plan of `Inpaints`.
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


class Plan(Protocol):
    """How draws become samples: made once a request, run once a batch."""

    def run(self, draw: Draw, guide: Trained | None = None) -> State:
        """Return sampled states; states that are not finite or absurdly large are a `UserError`.

        Arguments:
            draw: The batch.
            guide: A worse model whose estimate is the weak one; None: the model itself under `draw.weak`.
        """

    def evaluations(self, guided: bool) -> int | None:
        """Return how often the network is called for a sample, None if that varies."""


class Process(Protocol):
    """A kind of diffusion."""

    @property
    def name(self) -> str:
        """Its name in the registry, the value of the key `process`."""

    def check(self, config: Config) -> None:
        """Raise a `UserError` unless every name and option of a configuration exists, and all fit together."""

    def network(self, config: Config, domain: Domain, device: torch.device) -> nn.Module:
        """Return the untrained network of a configuration; its weights follow from the seed."""

    def objective(self, config: Config) -> Objective[Any]:
        """Return what training minimises."""

    def plan(self, model: Trained, how: SampleConfig) -> Plan:
        """Return how samples are drawn; options that do not work are a `UserError` before any work is done."""

    def prior(self, space: Space, generators: Sequence[torch.Generator]) -> State:
        """Draw states that hold nothing of the data, of a scale that a domain can decode; one stream a sample."""

    def evaluate(self, network: nn.Module, batch: Batch) -> None:
        """Call the network once on a batch, to measure what it computes."""


PROCESSES: Registry[Process] = Registry("process")
"""Name -> process; `polydiff.config.processes.process_of` imports the built-in ones before it looks a name up."""


class Varies(Protocol):
    """A process that can begin from given states with part of the noise (SDEdit)."""

    def varying(self, model: Trained, how: SampleConfig, strength: float) -> Plan:
        """Return a plan for draws with `init`, from a share of the way from data (0) to the prior (1)."""


class Inpaints(Protocol):
    """A process that can sample the rest of states of which a part is known."""

    def inpainting(self, model: Trained, how: SampleConfig, jump: int, resample: int) -> Plan:
        """Return a plan for draws with `known`.

        Arguments:
            model: What draws.
            how: How.
            jump: Steps of a piece of the plan.
            resample: How often each piece is run, 1 for once.
        """


class Interpolates(Protocol):
    """A process with a deterministic way to the prior and back, along which there are states between two."""

    def between(
        self,
        model: Trained,
        how: SampleConfig,
        ends: tuple[State, State],
        draw: Draw,
        shares: Sequence[float],
        steps: int,
    ) -> Iterator[State]:
        """Yield the states at shares of the way between two clean ends, in `steps` steps each way."""


class Estimate(NamedTuple):
    """An upper bound on -log p(x_0) of each sample, estimated.

    Attributes:
        nats: The bound, in the units of the data, shape (B,).
        error: Standard error of what was drawn more than once, shape (B,); NaN where the diffusion part was not.
        parts: Name -> what a term adds to `nats`, shape (B,).
        evaluations: How often the network was called for each sample, shape (B,).
    """

    nats: Tensor
    error: Tensor
    parts: dict[str, Tensor]
    evaluations: Tensor


class Bound(Protocol):
    """Bounds on -log p of batches of one data set."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was chosen for all batches, by name, as JSON."""

    def __call__(self, kind: str, batch: Batch, units: Units | None, generators: Sequence[torch.Generator]) -> Estimate:
        """Return one kind of bound of a batch on the device of the network.

        Arguments:
            kind: A name of `Bounds.bounds`.
            batch: Clean states.
            units: What their numbers stand for; None: continuous numbers without a unit.
            generators: One random stream a sample.
        """


class Bounds(Protocol):
    """A process that bounds the likelihood of data."""

    @property
    def bounds(self) -> Mapping[str, str]:
        """Name of a bound -> what it is."""

    def bound(self, model: Trained, units: Sequence[Units | None], draws: int) -> Bound:
        """Return the bounds of a data set.

        Arguments:
            model: What is judged.
            units: Of each batch of the data set.
            draws: Levels drawn for each example, by bounds that draw some.
        """


class TriesSampler(Protocol):
    """A process that can try its samplers on data whose exact network is known."""

    def sampler_spread(self, model: Trained, how: SampleConfig) -> float | None:
        """Return the standard deviation of samples of data N(0, 1); None if the sampler needs a network of its own."""


def lacks(process: Process, what: str) -> UserError:
    """Return the error for something that a process has no method for."""
    return UserError(f"process={process.name}: this process cannot {what}.")
