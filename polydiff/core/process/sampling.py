"""How a process samples: a batch to draw, the plan that draws it, and the states on its way.

Symbols: B number of samples, R rows of a state (`polydiff.core.space`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from polydiff.core.process.process import Process, lacks
from polydiff.support.protocols import provides

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import Tensor, nn

    from polydiff.contract.sections.sampling import SampleConfig
    from polydiff.core.conditions import Condition
    from polydiff.core.process.process import Trained
    from polydiff.core.space import Batch, Measurement, Space, State


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


class Unmasks(Traces, Protocol):
    """A plan of states with letters that are masked, and appear one after the other."""

    @property
    def masks(self) -> Mapping[str, int]:
        """Name of a part -> number of its mask; {} if no part has one."""


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


def generating(process: Process) -> Generates:
    """Return the process with its ability to generate samples; a process without it raises a UserError."""
    if not provides(process, Generates):
        raise lacks(process, "generate samples")
    return process
