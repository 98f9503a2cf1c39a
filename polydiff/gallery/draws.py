"""What draws samples: a trained model, or the stages of a pipeline in a row (`polydiff.pipeline.chain`).

Files, evaluations and reports of samples use these interfaces, so they take either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from polydiff.contract.domain import Domain, Samples

if TYPE_CHECKING:
    import torch

    from polydiff.core.conditions import Condition


class Draws(Protocol):
    """A model, or stages in a row, that draw samples of a domain."""

    @property
    def domain(self) -> Domain:
        """Judges, shows and saves the samples."""

    @property
    def device(self) -> torch.device:
        """Where samples are computed."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name of the domain, step and kind of the weights, as JSON."""

    @property
    def restores(self) -> bool:
        """Whether samples are restored from degraded examples, such as small images, that must be given."""

    def request(self, cond: Mapping[str, Any] | None = None, **sampling: Any) -> SampleRequest:
        """Return what all batches of samples share; arguments as of `polydiff.Model.sample`."""

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of pure noise, with conditions as of samples."""


class SampleRequest(Protocol):
    """A request for samples that was checked; sample i is a function of the seed and i."""

    @property
    def model(self) -> Draws:
        """What draws."""

    @property
    def batch_size(self) -> int:
        """Samples computed at a time."""

    def with_batch_size(self, batch_size: int) -> Self:
        """Return the same request, computed this many samples at a time."""

    def under(self, given: Condition | None) -> Self:
        """Return the same request for samples 0 to N - 1 with these conditions, tensors (N, ...)."""

    def samples(self, indices: range, seed: int) -> Iterator[Samples]:
        """Yield samples in order."""

    def joined(self, indices: range, seed: int) -> Samples:
        """Return samples, and show the progress of drawing them."""

    def evaluations(self) -> int | None:
        """Return how often networks are called for a sample, None if that varies."""

    def section(self) -> dict[str, Any]:
        """Return how samples are drawn, the section `sample`, as JSON."""

    def digests(self) -> dict[str, Any]:
        """Return digests of all weights that samples depend on, as JSON."""
