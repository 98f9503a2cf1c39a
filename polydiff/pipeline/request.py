"""One request of a pipeline: each stage draws in turn, conditioned on the examples of the stage that it follows.

Random numbers: stage NAME draws sample i with the seed hash(seed, NAME), by streams of sample i. So sample i depends on
the seed and i alone, and a stage alone, with this seed and the same conditions, draws the same bits.

Examples pass from stage to stage, never states, since each stage standardises by its own statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.following import Follows, Scores
from polydiff.core.conditions import Condition
from polydiff.core.streams import stream_seed, streams
from polydiff.gallery.writer import plain
from polydiff.model.batches import dealt_samples, windows
from polydiff.model.model import Model
from polydiff.model.origin import ModelOrigin
from polydiff.model.request import Request
from polydiff.pipeline.conditions import Shared, conditions_for, shareable
from polydiff.stages.open import STAGES
from polydiff.support.errors import UserError
from polydiff.support.progress import Counting
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.pipeline.chain import Chain


def stage_seed(seed: int, stage: str) -> int:
    """Return the seed with which a stage draws."""
    return stream_seed(seed, f"stage {stage}")


@dataclass(frozen=True)
class StageRequest:
    """How one stage draws.

    Arguments:
        name: Name of the stage.
        request: What all of its batches share.
        follows: Name of the stage whose examples it is conditioned on; "": none.
        level: Standard deviation of the noise that is added to these examples, in units of the stage's states.
        of: Number of draws for a sample, of which the one with the highest score is kept.
    """

    name: str
    request: Request
    follows: str = ""
    level: float = 0.0
    of: int = 1

    @property
    def model(self) -> Model:
        """Model of the stage."""
        return self.request.model

    @property
    def domain(self) -> Domain:
        """Domain of the stage."""
        return self.request.model.domain

    def conditions(
        self, made: Mapping[str, Samples], shared: Mapping[str, Shared], numbers: range, seed: int
    ) -> Condition:
        """Return the conditions of samples that come from earlier stages, tensors (B, ...).

        Arguments:
            made: Name of an earlier stage -> its examples of these samples.
            shared: Conditions that earlier stages have drawn.
            numbers: Numbers of the samples.
            seed: Seed of the stage.
        """
        free = {name: value for name, value in shared.items() if name not in self.request.requested}
        found: dict[str, Any] = dict(conditions_for(self.name, self.domain, free))
        if self.follows:
            assert provides(self.domain, Follows)
            found |= self.domain.follow(made[self.follows], streams(seed, "follow", numbers), self.level)
        return found

    def draw(self, cond: Condition, numbers: range, seed: int) -> Samples:
        """Return the samples of these numbers; arguments as of `conditions`, whose result the first one is."""
        drawn = self.attempt(cond, numbers, seed)
        if self.of == 1:
            return drawn
        assert provides(self.domain, Scores)
        tries = [drawn]
        for i in range(1, self.of):  # under the same conditions, those that were drawn included
            tries.append(self.attempt(drawn.cond or {}, numbers, stream_seed(seed, "try", i)))
        best = torch.stack([self.domain.scores(each) for each in tries]).argmax(0).tolist()
        kept = Samples.join([tries[choice].take([i]) for i, choice in enumerate(best)])
        return replace(kept, origin=drawn.origin)  # tries differ in their seeds alone

    def attempt(self, cond: Condition, numbers: range, seed: int) -> Samples:
        """Return one draw of samples."""
        request = self.request.under(cond or None, numbers.start)
        return Samples.join(list(request.samples(numbers, seed)))

    def digests(self) -> dict[str, Any]:
        """Return digests of all weights on which the samples of the stage depend, as JSON.

        "parts" holds those of the autoencoder and the pairs that the stage keeps copies of, by the key that names them.
        """
        parts = {key: at["sha256"] for key, at in self.model.parents.items() if key.partition(".")[0] in STAGES}
        return {**self.request.digests(), **({"parts": parts} if parts else {})}

    def section(self) -> dict[str, Any]:
        """Return how the stage samples, as JSON."""
        return {
            **self.request.section(),
            **({"follows": self.follows, "level": self.level} if self.follows else {}),
            **({"keep": 1, "of": self.of} if self.of > 1 else {}),
        }


@dataclass(frozen=True)
class ChainRequest:
    """What all batches of one call share.

    Arguments:
        model: The pipeline.
        parts: How each stage draws, in order.
        requested: Conditions as the user wrote them.
        given: Conditions of samples 0 to N - 1 in place of drawn ones, as the last stage's network reads them,
            tensors (N, ...); None: none.
        most: Samples that all stages compute at a time; None: as many as suit the stage that suits fewest.
    """

    model: Chain
    parts: tuple[StageRequest, ...]
    requested: Mapping[str, Any] = field(default_factory=dict)
    given: Condition | None = None
    most: int | None = None

    @property
    def batch_size(self) -> int:
        """Samples computed at a time."""
        return self.most or min(part.request.batch_size for part in self.parts)

    def with_batch_size(self, batch_size: int) -> ChainRequest:
        """Return the same request, computed this many samples at a time."""
        parts = tuple(replace(part, request=part.request.with_batch_size(batch_size)) for part in self.parts)
        return replace(self, parts=parts, most=batch_size)

    def under(self, given: Condition | None) -> ChainRequest:
        """Return the same request for samples 0 to N - 1 with conditions of the last stage, tensors (N, ...).

        Those that other stages share hold for these, too; those that a task computes from examples are left out.
        """
        kept = {name: value for name, value in (given or {}).items() if name in shareable(self.model.domain)}
        return replace(self, given=kept or None)

    def samples(self, indices: range, seed: int) -> Iterator[Samples]:
        """Yield samples in order, a batch at a time through all stages, dealt out as by `Request.samples`."""
        for part in self.parts:
            part.model.agree_on_batches()
        last = self.parts[-1].name
        for samples in dealt_samples(list(windows(indices, self.batch_size)), lambda of: self.made(of, seed)[last]):
            yield self.finished(samples, seed)

    def joined(self, indices: range, seed: int) -> Samples:
        """Return samples, and show the progress of drawing them."""
        parts: list[Samples] = []
        with Counting("samples drawn", len(indices)) as show:
            for part in self.samples(indices, seed):
                parts.append(part)
                show(sum(map(len, parts)))
        return Samples.join(parts)

    def made(self, numbers: range, seed: int) -> dict[str, Samples]:
        """Return what each stage makes of samples, name -> examples; one batch."""
        made: dict[str, Samples] = {}
        last = self.parts[-1]
        shared = {
            name: Shared(last.name, last.domain, value[numbers.start : numbers.stop])
            for name, value in (self.given or {}).items()
        }
        for part in self.parts:
            own = stage_seed(seed, part.name)
            try:
                made[part.name] = part.draw(part.conditions(made, shared, numbers, own), numbers, own)
            except UserError as error:
                raise UserError(f"Stage {part.name}: {error}") from error
            for name, value in (made[part.name].cond or {}).items():
                if name in shareable(part.domain):
                    shared.setdefault(name, Shared(part.name, part.domain, value))
        return made

    def shown(self, n: int, seed: int) -> dict[str, Samples]:
        """Return what each stage makes of samples 0 to n - 1, name -> examples that can be described in words."""
        parts: dict[str, list[Samples]] = {part.name: [] for part in self.parts}
        for numbers in windows(range(n), self.batch_size):
            for name, samples in self.made(numbers, seed).items():
                parts[name].append(Samples(samples.examples, described(samples.cond, self.model.stages[name].domain)))
        return {name: Samples.join(found) for name, found in parts.items()}

    def finished(self, samples: Samples, seed: int) -> Samples:
        """Return samples of the last stage as those of the pipeline."""
        wanted = {name: plain(value) for name, value in self.requested.items()}
        facts = {**self.model.facts, "seed": seed, "requested": wanted, **self.section()}
        origin = ModelOrigin(self.model.domain, facts)
        return Samples(samples.examples, described(samples.cond, self.model.domain), origin)

    def evaluations(self) -> int | None:
        """Return how often networks are called for a sample, None if that varies."""
        calls = [part.request.evaluations() for part in self.parts]
        known = [n * part.of for n, part in zip(calls, self.parts, strict=True) if n is not None]
        return sum(known) if len(known) == len(calls) else None

    def section(self) -> dict[str, Any]:
        """Return how each stage samples, as JSON."""
        return {"sample": {part.name: part.section() for part in self.parts}}

    def digests(self) -> dict[str, Any]:
        """Return digests of the weights of each stage, also of the codec and the pairs that it keeps copies of."""
        return {"weights_digest": {part.name: part.digests() for part in self.parts}}


def described(cond: Condition | None, domain: Domain) -> Condition | None:
    """Return the conditions that users may set, and that a domain can describe; None if there are none."""
    return {name: value for name, value in (cond or {}).items() if name in shareable(domain)} or None
