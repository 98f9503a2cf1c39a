"""Kernels: how one part of a state is corrupted, estimated and moved, for a process of one or several parts.

The level of a part says how much of it is corrupted: 0 for data, `Kernel.top` for the prior. A network sees the parts
of a corrupted state and returns one output a part. Guidance combines outputs linearly, F_u + w (F_c - F_u), so a
kernel's output is one whose linear combinations have a meaning: logits, tangents, targets of Gaussian diffusion.

To add a kernel, write a class with the methods of `Kernel` and register a function that makes it in `KERNELS`. Each
name in `KERNELS` is a process of states of one part, and a kind of part of `process=joint`.

Symbols: B number of samples, R rows of a part, F output of the network, l level, x_0 clean part, x corrupted part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from polydiff.core.registry import Registry
from polydiff.support.errors import UserError

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import Tensor

T = TypeVar("T", bound=Callable[..., Any])


class Row(Protocol):
    """One step of a part in a plan.

    Attributes:
        at: Level before the step.
        to: Level after it.
    """

    @property
    def at(self) -> float: ...

    @property
    def to(self) -> float: ...


class Kernel(Protocol):
    """The diffusion of one part.

    Attributes:
        top: Level of the prior.
        conditioned: Whether the network is conditioned on the level. The estimate of a masked state, for example, does
            not depend on it.
    """

    @property
    def top(self) -> float: ...

    @property
    def conditioned(self) -> bool: ...

    def prior(self, space: Any, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw states (R, ...) of the level `top`, which hold nothing of the data."""

    def corrupt(self, x_0: Tensor, level: Tensor, space: Any, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw x from q(x | x_0) at levels (B,), shape (R, ...)."""

    def hold(self, x_0: Tensor, level: Tensor, space: Any, generators: Sequence[torch.Generator]) -> Tensor:
        """Return known values (R, ...) as a state at levels (B,) contains them, for inpainting."""

    def put(self, x: Tensor, known: Tensor, mask: Tensor, space: Any) -> Tensor:
        """Return states with known values put in.

        Arguments:
            x: States (R, ...).
            known: States that `hold` returns, (R, ...).
            mask: Booleans that broadcast against them, True where known.
            space: Where they live.
        """

    def enter(self, x: Tensor, level: Tensor, space: Any) -> Tensor:
        """Return what the network sees of x at levels (B,), or () if all samples share one."""

    def number(self, level: Tensor) -> Tensor:
        """Return the numbers that tell the network levels, of their shape, in the range of logs of noise levels."""

    def loss(
        self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, slope: Tensor, space: Any, weighting: str
    ) -> Tensor:
        """Return the loss of each sample, shape (B,), per site or dimension.

        Arguments:
            f: Output of the network for x.
            x_0: Clean states (R, ...).
            x: Corrupted states (R, ...).
            level: Levels (B,).
            slope: Derivative of the level by the number in (0, 1) that was drawn uniformly, (B,).
            space: Where the states live.
            weighting: One of `weightings`.
        """

    def step(
        self, row: Any, f: Tensor, x: Tensor, space: Any, generators: Sequence[torch.Generator], memory: list[Any]
    ) -> Tensor:
        """Return the states (R, ...) after a row of a plan.

        Arguments:
            row: The row.
            f: Output of the network for x; of no meaning if the row does not call the network.
            x: States before the row, (R, ...).
            space: Where they live.
            generators: B random streams.
            memory: What the kernel keeps from row to row; empty at the first one.
        """

    def guess(self, f: Tensor, x: Tensor, level: Tensor, space: Any) -> Tensor:
        """Return the network's best guess of the clean states, shape (R, ...), to be shown."""

    def check(self, x_0: Tensor, space: Any, name: str) -> None:
        """Raise UserError unless x_0 holds clean states of this kind; `name` is what the message calls them."""


class Hides(Kernel, Protocol):
    """A kernel whose corrupted states may show what is lost.

    Attributes:
        mask: Letter of what is lost; None if lost letters are replaced by others.
    """

    @property
    def mask(self) -> int | None: ...

    def hidden(self, x: Tensor, space: Any) -> Tensor:
        """Return how many letters of each sample are masked, (B,)."""


class Categorical(Kernel, Protocol):
    """A kernel of letters, whose network estimates the law of each."""

    def log_posterior(self, f: Tensor, x: Tensor, level: Tensor, space: Any) -> Tensor:
        """Return log p(x_0 | x) of each letter, (R, ..., K), from the output F at levels (B,) or ()."""


class Widens(Kernel, Protocol):
    """A kernel whose corrupted states spread more widely than clean ones."""

    def visible(self, x: Tensor, level: float) -> Tensor:
        """Return states (R, ...) scaled to the spread of clean ones, so that a domain can decode them."""


class Imposes(Kernel, Protocol):
    """A kernel whose networks may be conditioned on known values (`polydiff.core.parts.known`)."""

    def impose(self, f: Tensor, known: Tensor, x: Tensor, level: Tensor, space: Any) -> Tensor:
        """Return the output F (R, ...) with its true value where the clean state is known.

        Arguments:
            f: Output of the network for x.
            known: Clean states (R, ...), NaN where they are unknown.
            x: Corrupted states (R, ...).
            level: Levels, (B,) or ().
            space: Where the states live.
        """


class Bounded(Kernel, Protocol):
    """A kernel whose parts have a bound on their likelihood in continuous time."""

    def rate(self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, space: Any) -> Tensor:
        """Return the integrand of the bound on -log p(x_0) at levels (B,), nats per unit of level, shape (B,)."""


class BoundedSteps(Bounded, Protocol):
    """A kernel that also has a bound for a chain of steps."""

    def divergence(self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, to: Tensor, space: Any) -> Tensor:
        """Return the divergence in nats of the model's step to lower levels from the one that knows x_0, shape (B,).

        Arguments:
            f: Output of the network for x.
            x_0: Clean states (R, ...).
            x: Corrupted states (R, ...).
            level: Levels of x, (B,).
            to: Levels after the step, (B,).
            space: Where the states live.
        """


@dataclass(frozen=True)
class Source:
    """What a kernel is made from.

    Arguments:
        options: Options of the kernel.
        space: Space of a sample of the part, or of the state.
        statistics: Statistics of the domain, for this part if the state has several.
    """

    options: Mapping[str, Any]
    space: Any
    statistics: Mapping[str, Any]


@dataclass(frozen=True)
class KernelEntry:
    """A registered kernel.

    Arguments:
        make: Makes the kernel from its `Source`.
        states: What its states are: "letters", "real", "circle" or "rotation".
        samplers: Name -> function (levels, sites, **options) -> rows, where `levels` fall to 0 and `sites` is the
            largest number of sites or dimensions of a sample. The options have defaults.
        weightings: Names of loss weightings.
        suits: Dotted key -> value: defaults of a configuration whose process is this kernel.
        summary: Description of one line.
        bounded: Whether the kernel is a `Bounded` one.
        sampler: Sampler of a part of `process=joint` that names none; it takes one row a step.
        conditioned: Whether its networks are conditioned on the level (`Kernel.conditioned`).
    """

    make: Callable[[Source], Kernel]
    states: str
    samplers: Registry[Callable[..., Sequence[Row]]]
    weightings: Sequence[str]
    suits: Mapping[str, Any]
    summary: str
    bounded: bool = True
    sampler: str = "ancestral"
    conditioned: bool = True


def make_kernel(name: str, source: Source, key: str = "process") -> Kernel:
    """Return the kernel of a name for states of a space.

    Arguments:
        name: Its name.
        source: What it is made from.
        key: Key that names it, for messages.

    Raises:
        UserError: The space is not one of this kernel's states.
    """
    entry = KERNELS[name]
    try:
        return entry.make(source)
    except AttributeError as error:
        raise UserError(
            f"{key}={name} needs states that are {entry.states}, and these data give a {type(source.space).__name__}. "
            f"Use {key}=gaussian, or data of that kind."
        ) from error


def one_call_a_site(sampler: T) -> T:
    """Mark a sampler as one whose number of calls is that of the sites, not that of the steps."""
    sampler.by_size = True  # type: ignore[attr-defined]
    return sampler


def is_by_size(sampler: Callable[..., Any]) -> bool:
    """Return whether the number of calls of a sampler is that of the sites (`one_call_a_site`)."""
    return bool(getattr(sampler, "by_size", False))


KERNELS: Registry[KernelEntry] = Registry("kernel")
"""Name -> kernel; the name is also that of the process whose states are one such part."""
