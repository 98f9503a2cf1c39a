"""Optional abilities of a process; one that has the methods of a protocol has the ability.

Symbols: B number of samples, E numbers of a vector, R rows of a state (`polydiff.core.space`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import Tensor

    from polydiff.contract.sections.run import Config
    from polydiff.contract.sections.sampling import SampleConfig
    from polydiff.core.conditions import Condition
    from polydiff.core.process.process import Trained
    from polydiff.core.process.sampling import Draw, Plan
    from polydiff.core.space import Batch, State


class NamesKeys(Protocol):
    """A process that says which of the keys in `PROCESS_KEYS` it reads. The others are an error where a user sets them.

    What `learn` names says so of the keys that only generating needs too (`polydiff.config.processes.GENERATING`). The
    built-in process reads all. Without this attribute, another process gets a warning instead of an error.
    """

    @property
    def keys(self) -> Collection[str]:
        """Dotted keys, such as {"sample.guidance"}; "loss" stands for its whole section."""


class LeavesUnused(Protocol):
    """A process that reads some of its `keys` only if other keys have certain values."""

    def unused(self, config: Config) -> Mapping[str, str]:
        """Return dotted keys, or whole sections, that have no effect in a configuration -> what to set instead."""


class NamesSamplers(Protocol):
    """A process that lists the names that the key `sample.sampler` can have, for a choice on a page."""

    def sampler_names(self, config: Config) -> Sequence[str]:
        """Return the samplers of a configuration, some of which may need other options; () if the key is not read."""


class NamesValues(Protocol):
    """A process that lists the names that keys of a configuration can have, for completion in a shell."""

    def values(self) -> Mapping[str, Collection[str]]:
        """Return dotted keys -> names; * in a key stands for a name of the user's, as in parts.*.process."""


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


class Estimates(Protocol):
    """A process that estimates clean states from noisy ones by one call of the network."""

    def levels(self, model: Trained, n: int) -> Sequence[float]:
        """Return n falling noise levels, from where an example is lost in noise to where it is hardly changed.

        Of letters a level is the share that is lost.
        """

    def noisy(self, model: Trained, batch: Batch, level: float, generators: Sequence[torch.Generator]) -> State:
        """Return the clean states of a batch with noise of a level, (R, ...)."""

    def estimate(self, model: Trained, noisy: Batch, level: float) -> State:
        """Return E[x_0 | x], or the most probable letters, (R, ...), for noisy states x of one level.

        The network is called once, in float32, without guidance, and in the caller's gradient mode.
        """

    def visible(self, model: Trained, x: State, level: float) -> State:
        """Return noisy states (R, ...) scaled to the spread of clean ones, so that a domain can decode them."""


class EstimatesParts(Estimates, Protocol):
    """A process that estimates states of one or several parts, each of which has its level and may consist of letters.

    The level of the methods of `Estimates` is that of the first part.
    """

    def part_levels(self, model: Trained, level: float) -> Mapping[str, float]:
        """Return the level of each part by its name at a level of the first one."""

    def log_laws(self, model: Trained, noisy: Batch, level: float) -> Mapping[str, Tensor]:
        """Return log p(x_0 | x) of each letter k of noisy states x, (R, ..., K), by the name of a part of letters.

        The network is called as by `estimate`.
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


class Gives(Protocol):
    """A process of states with several parts that can sample some of them given the others."""

    def giving(self, model: Trained, how: SampleConfig, parts: Collection[str]) -> Plan:
        """Return a plan for draws with `known`, whose mask is 1 on some whole parts and 0 on the others.

        Arguments:
            model: The network to sample with.
            how: Sampler, steps, guidance and their options.
            parts: Names of the known parts.

        Raises:
            UserError: The network has not learnt to sample the other parts given these.
        """


class Calibration(NamedTuple):
    """What fitting a sampler to a network gave.

    Attributes:
        sampling: Keys of the section `sample` that use it, such as sampler and options.
        errors: Relative distance of each held-out sample from the solution, (B,).
        before: The same with the default sampler, (B,).
        default: Whether `sampling` is the default sampler, since nothing better was found.
    """

    sampling: Mapping[str, Any]
    errors: Sequence[float]
    before: Sequence[float]
    default: bool


class Calibrates(Protocol):
    """A process whose sampler can be fitted to a network, for a number of steps and a guidance."""

    def calibrate(
        self, model: Trained, how: SampleConfig, draws: tuple[Draw, Draw], guide: Trained | None
    ) -> Calibration:
        """Return the sampler that ends nearest to the solution of the same differential equation from the same noise.

        Arguments:
            model: The network to fit to.
            how: Steps, guidance and their options.
            draws: A batch to fit on, and one that shows whether that was worth it.
            guide: A worse model to guide away from; None: none.

        Raises:
            UserError: An option is wrong, or there are too many steps.
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
