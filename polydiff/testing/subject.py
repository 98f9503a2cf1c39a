"""The domain that is checked, with the examples that several checks need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections.run import Config
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.stages.open import open_domain


@dataclass
class Subject:
    """A domain to check, built and read when a check needs it.

    Arguments:
        config: Its configuration.
        n: Number of examples.
    """

    config: Config
    n: int

    @cached_property
    def domain(self) -> Domain:
        """The domain of the configuration."""
        return open_domain(self.config)

    @cached_property
    def batch(self) -> Batch:
        """The first training examples, at most n."""
        return self.take("train", range(min(self.n, self.domain.size("train"))))

    def take(self, split: str, indices: range) -> Batch:
        """Return the examples of a split with these indices."""
        return self.domain.batch(split, indices, streams(0, "augment", indices))

    @cached_property
    def real(self) -> Samples:
        """The first n held-out examples."""
        return self.domain.examples("test", self.n)

    @cached_property
    def noise(self) -> Samples:
        """The n examples that noise decodes to."""
        space, cond = self.domain.blank(streams(0, "blank", range(self.n)), {})
        return Samples(self.domain.decode(space.noise(streams(0, "sample", range(self.n))), space), cond)
