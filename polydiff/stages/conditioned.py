r"""A domain whose examples have the embeddings of a contrastive pair, another run, as further conditions.

A diffusion of this domain is the decoder of unCLIP (Ramesh et al., 2022, https://arxiv.org/abs/2204.06125): conditioned
on the embedding of an example, it draws others that mean the same. In training the embedding z gets noise,

$$ z + s \epsilon, \qquad s \sim U(0, s_{max}), \quad \epsilon \sim N(0, I), $$

of which the network is not informed, so that the errors of a prior, whose embeddings it is conditioned on later, do no
harm. Everything else is the domain's own.

Symbols: B batch, E numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.contract.abilities import HasPrompts
from polydiff.contract.backbone import build_backbone
from polydiff.contract.domain import Domain, Samples, conditions_of
from polydiff.contract.editing import Reads, Restores
from polydiff.contract.following import Follows
from polydiff.contract.likeness import Encodes
from polydiff.contract.sections.run import Config
from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import ANY, LOW, Condition, Conditions, Vector, given
from polydiff.core.space import Batch, Euclidean, Space, normal
from polydiff.stages.codec import check_no_augmentation
from polydiff.stages.embedded import Embedded
from polydiff.stages.embedder import Embedder
from polydiff.stages.kept import Kept
from polydiff.support.errors import UserError
from polydiff.support.protocols import Forwards, provides

TELL = "tell"
"""Name of the key, and of the kept examples among a run's statistics."""
BY_TEXT = " by text"
"""End of the name of a split whose examples have the embedding of their text as condition, in place of their own."""
BY_TEXT_PREFIX = "by_text_"
"""Beginning of the names of metrics under these conditions."""


class Conditioned(Forwards):
    """A domain whose examples have their embeddings as conditions.

    Arguments:
        config: The run's configuration.
        domain: The domain, with the statistics that the pairs were trained with.
        embedders: Name of a condition -> embedder of the domain's states.
        kept: Training examples with their embeddings, from the statistics of a checkpoint; None: they are chosen now.
    """

    __wrapped__: Domain
    inspect = None
    """An ability of the data alone (`polydiff.contract.abilities.Inspects`)."""

    def __init__(
        self, config: Config, domain: Domain, embedders: Mapping[str, Embedder], kept: Mapping[str, Any] | None = None
    ) -> None:
        self.config, self.__wrapped__, self.embedders = config, domain, embedders
        own, first = conditions_of(domain), next(iter(embedders.values()))
        for name in embedders:
            if name in own or name.startswith("_"):
                raise UserError(f"tell.{name}: these data have a condition {name} already. Take another name.")
        if provides(domain, Restores) and domain.task.residual:
            raise UserError(
                f"{first.name}: with this task, states are not whole examples, so a pair cannot embed them."
            )
        check_no_augmentation(config, first.name, "embeddings")
        if not provides(domain, Encodes):
            raise UserError(f"{first.name}: the domain {config.domain} does not turn examples into states again.")
        further = {name: Vector(embedder.width, source="array") for name, embedder in embedders.items()}
        self.conditions: Conditions = {**own, **further}
        self.kept = Kept.measure(domain, embedders) if kept is None else Kept.of_json(kept, domain, embedders)
        self.statistics: Mapping[str, Any] = {**domain.statistics, TELL: self.kept.as_json()}
        self.withdraw(read=Reads, read_degraded=Restores)

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        """Return examples of a split with their embeddings; those of training have noise."""
        x, space, cond = self.__wrapped__.batch(split, indices, generators)
        found = {name: embedder.embed(x) for name, embedder in self.embedders.items()}
        if split == "train" and self.config.tell_noise:
            found = {name: self.disturbed(z, generators) for name, z in found.items()}
        return Batch(x, space, {**(cond or {}), **found})

    def disturbed(self, z: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return embeddings (B, E) with noise of a standard deviation that is drawn for each by its own generator."""
        levels = torch.stack([torch.rand((), generator=generator) for generator in generators])
        return z + self.config.tell_noise * levels[:, None] * normal(generators, z.shape[1:])

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        """Return the space and the conditions of new samples.

        - Nothing is requested: the embedding of a random training example, with that example's own conditions.
        - A text is requested, and no embedding: the embedding of the text.
        - An embedding is requested: a file of the domain, a .npy file, an array, or "any" for none.

        Where a sample has an embedding, conditions that are not requested are withheld, since random ones would
        contradict it.
        """
        others = {name: value for name, value in requested.items() if name not in self.embedders}
        space, cond = self.__wrapped__.blank(generators, others)
        drawn, n = dict(cond or {}), len(generators)
        if not requested:
            return space, {**withhold(drawn, drawn.keys()), **self.no_embeddings(n), **self.kept.draw(generators)}
        texts = {name: drawn[name] for name in others if name in drawn}
        found = {
            name: self.requested(name, requested[name], n) if name in requested else embedder.embed_text(texts, n)
            for name, embedder in self.embedders.items()
        }
        if any(bool(given(z).any()) for z in found.values()):
            drawn = withhold(drawn, drawn.keys() - requested.keys())
        return space, {**drawn, **found}

    def requested(self, name: str, value: Any, n: int) -> Tensor:
        """Return a requested embedding, (n, E): a path, an array (E,) for all samples or (n, E), or "any" for none."""
        embedder = self.embedders[name]
        if isinstance(value, str) and value == ANY:
            return torch.full((n, embedder.width), math.nan)
        if isinstance(value, str):
            found = embedder.read(self.__wrapped__, [Path(value).expanduser()])
        else:
            found = embedder.vectors(value, name)
        if len(found) > 1:
            raise UserError(f"{name}: expected one embedding, which all samples share, not {len(found)}.")
        return found.expand(n, -1).clone()

    def no_embeddings(self, n: int) -> dict[str, Tensor]:
        """Return the embeddings of n samples as conditions that are not given."""
        return {name: torch.full((n, embedder.width), math.nan) for name, embedder in self.embedders.items()}

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the user's own files, with every condition missing (`polydiff.contract.abilities.Reads`)."""
        assert provides(self.__wrapped__, Reads)
        return self.without_embeddings(self.__wrapped__.read(paths))

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return the user's degraded files, no embedding being known (`polydiff.contract.abilities.Restores`)."""
        assert provides(self.__wrapped__, Restores)
        return self.without_embeddings(self.__wrapped__.read_degraded(paths, degrade))

    def without_embeddings(self, batch: Batch) -> Batch:
        """Return a batch of the domain whose embeddings are not given."""
        return batch._replace(cond={**(batch.cond or {}), **self.no_embeddings(batch.space.batch)})

    def backbone(self) -> nn.Module:
        """Build the network, which is conditioned on the embeddings as well."""
        space, _ = self.__wrapped__.blank([torch.Generator()], {})
        assert isinstance(space, Euclidean)
        channels, *sizes = space.shape
        return build_backbone(self.config.backbone, channels=channels, dims=len(sizes), conditions=self.conditions)

    def examples(self, split: str, n: int) -> Samples:
        """Return real examples with their embeddings, or with that of their text (`prompts`)."""
        found = self.__wrapped__.examples(split.removesuffix(BY_TEXT), n)
        cond = dict(found.cond or {})
        vectors = (
            {name: embedder.embed_text(cond, len(found)) for name, embedder in self.embedders.items()}
            if split.endswith(BY_TEXT)
            else self.embeddings(found.examples)
        )
        return replace(found, cond={**cond, **vectors})

    def embeddings(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """Return the embeddings of examples of the domain, name -> tensor (B, E)."""
        assert provides(self.__wrapped__, Encodes)
        x = self.__wrapped__.encode(examples).x
        return {name: embedder.embed(x) for name, embedder in self.embedders.items()}

    @property
    def prompts(self) -> Mapping[str, str]:
        """Splits under whose conditions samples are judged (`polydiff.contract.abilities.HasPrompts`).

        Samples of each split are judged a second time under the embedding of the text, which needs no prior.
        """
        own = self.__wrapped__.prompts if provides(self.__wrapped__, HasPrompts) else {}
        return {**own, **{f"{split}{BY_TEXT}": f"{BY_TEXT_PREFIX}{prefix}" for split, prefix in own.items()}}

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return the conditions of each sample in words; an embedding has none."""
        own = {name: value for name, value in cond.items() if name not in self.embedders}
        return self.__wrapped__.describe(own) if own else [{} for _ in next(iter(cond.values()))]

    @property
    def enlarging(self) -> Follows | None:
        """The domain, if it follows another stage by itself: one that enlarges small examples."""
        inner = self.__wrapped__
        return inner if LOW in conditions_of(inner) and provides(inner, Follows) else None

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> Condition:
        """Return the embeddings that samples of another stage are or have (`polydiff.contract.following.Follows`).

        A domain that follows another stage by itself, such as one of small images, follows that one's examples alone.

        Arguments:
            samples: B embeddings of a prior, of any length, or B examples of the domain, which are embedded.
            generators: B random streams of the noise.
            level: Standard deviation of noise on each number of an embedding, at most `tell_noise`.

        Raises:
            UserError: The level is out of range, or the vectors have another width.
        """
        vectors = are_vectors(samples)
        if not vectors and self.enlarging is not None:
            return {**self.no_embeddings(len(samples)), **self.enlarging.follow(samples, generators, level)}
        check_noise(level, self.config)
        found = self.given_as(samples) if vectors else self.embeddings(samples.examples)
        if not level:
            return found
        return {name: z + level * normal(generators, z.shape[1:]) for name, z in found.items()}

    def given_as(self, samples: Samples) -> dict[str, Tensor]:
        """Return the embeddings that a prior's samples are; those of other pairs than the prior's are not given."""
        origin = None if samples.origin is None else samples.origin.domain
        digest = origin.embedder.part.sha256 if isinstance(origin, Embedded) else None
        array = torch.stack(list(samples.examples))
        return {
            name: embedder.vectors(array, "an embedding of the earlier stage")
            if digest in (None, embedder.part.sha256)
            else torch.full((len(array), embedder.width), math.nan)
            for name, embedder in self.embedders.items()
        }


def check_noise(level: float, config: Config) -> None:
    """Raise UserError unless a run was trained with noise of this level on the embeddings that it is conditioned on."""
    if not 0 <= level <= config.tell_noise:
        raise UserError(
            f"The level of the noise is {level:g}. It should be from 0 to tell_noise={config.tell_noise:g}, the "
            "greatest in the training of this stage."
        )


def are_vectors(samples: Samples) -> bool:
    """Return whether samples are embeddings, tensors of one axis, rather than examples of a domain."""
    return all(isinstance(example, Tensor) and example.ndim == 1 for example in samples.examples)
