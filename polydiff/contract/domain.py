"""What a modality must provide: the `Domain` that its `polydiff.contract.spec.DomainSpec` leads to.

A domain is found through the entry-point group `polydiff.domains`. Its entry point names a `DomainSpec`, whose module
imports nothing heavy. The spec names a configuration class and a factory, which load on first use. The factory returns
a `Domain`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from polydiff.metrics.results import Metric
from polydiff.support.errors import UserError, amount, as_path

if TYPE_CHECKING:  # a spec is read by commands that must not wait for torch
    import torch
    from torch import nn

    from polydiff.contract.sections.run import Config
    from polydiff.core.conditions import Condition, Conditions, Declared
    from polydiff.core.space import Batch, Space, State

SHOWN = 64
"""Largest number of samples that a notebook shows; a domain may show fewer."""


class Origin(Protocol):
    """Where samples come from; what a model returns has one.

    Attributes:
        domain: Saves, shows and converts the samples.
        facts: Domain, step, weights, seed, sampler, steps, ..., as JSON values for manifest.json.
    """

    @property
    def domain(self) -> Domain: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    def save(self, samples: Samples, folder: Path) -> None:
        """Write samples to a new or empty folder."""


@dataclass(frozen=True, repr=False)
class Samples:
    """Decoded examples (pictures, sounds, molecules) with the conditions of each.

    `samples[3]` is an example, `samples[:3]` are the first three samples. A notebook shows pictures, players or
    drawings of samples that a model returned.

    An example is in the domain's own form, as the network sees it, with channels first: an image is a tensor uint8
    (C, H, W), a sound a tensor float32 (C, T). `to_numpy` follows the libraries that read arrays, with channels last.

    Arguments:
        examples: N examples in the domain's own form, as `Domain.decode` returns them.
        cond: Name -> tensor (N, ...) of conditions as the network receives them, None if there are no conditions.
            Classes are numbered, and numbers are standardised by the training data; `conditions` has the user's values.
        origin: Where they come from; None: unknown, so they can be neither saved nor shown nor converted.
    """

    examples: Sequence[Any]
    cond: Condition | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def conditions(self) -> list[dict[str, Any]]:
        """Conditions of each sample as the user writes them, such as {"pitch": "C4"} or {"logp": 1.5}; {} for none.

        Raises:
            UserError: No model made these samples, so their domain is unknown.
        """
        if self.cond is None:
            return [{} for _ in self.examples]
        return self.known_origin("described").domain.describe(self.cond)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.take(range(len(self))[index]) if isinstance(index, slice) else self.examples[index]

    def __repr__(self) -> str:
        facts = dict(self.origin.facts) if self.origin else {}
        words = [f"{name} {facts[name]}" for name in ("sampler", "steps", "seed") if name in facts]
        words += [f"conditions {', '.join(self.cond)}"] if self.cond else []
        kind = f" of the domain {facts['domain']}" if "domain" in facts else ""
        return f"<{amount(len(self), 'sample')}{kind}{': ' if words else ''}{', '.join(words)}>"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows; None, so that it shows the text instead, if the origin is unknown."""
        if self.origin is None:
            return None
        return f"<p>{html.escape(repr(self))}</p>{self.origin.domain.show(self.head(SHOWN))}"

    def save(self, folder: Path | str) -> Path:
        """Write one file per sample, manifest.json and the page show.html to a new or empty folder; return its path.

        Raises:
            UserError: The folder holds files, or no model made these samples.
        """
        path = as_path("folder", folder)
        self.known_origin("saved").save(self, path)
        return path

    def to(self, kind: str) -> Any:
        """Return the samples as objects of another library, by its name (`polydiff.contract.abilities.Converts`).

        Raises:
            UserError: The domain has no such conversion (the message lists those it has), or no model made the samples.
        """
        from polydiff.contract.conversion import convert

        origin = self.known_origin("converted")
        return convert(origin.domain, str(origin.facts.get("domain", "of these samples")), kind, self)

    def to_numpy(self) -> Any:
        """Return NumPy arrays with channels last: images uint8 (N, H, W, C), sounds (N, T, C), a pair a molecule."""
        return self.to("numpy")

    def to_pil(self) -> Any:
        """Return a list of Pillow's images."""
        return self.to("pil")

    def to_rdkit(self) -> Any:
        """Return a list of RDKit's molecules with positions; None, with a warning, where RDKit perceives none."""
        return self.to("rdkit")

    def known_origin(self, done: str) -> Origin:
        """Return the origin. Raise UserError if it is unknown; the message says what cannot be done."""
        if self.origin is None:
            raise UserError(
                f"Only samples that a model returned can be {done}: the domain of these is unknown. "
                "Use `samples.examples`, or the methods of a domain, such as `model.domain.save(samples, folder)`."
            )
        return self.origin

    def head(self, n: int) -> Samples:
        """Return the first n samples."""
        cond = None if self.cond is None else {k: v[:n] for k, v in self.cond.items()}
        return replace(self, examples=self.examples[:n], cond=cond)

    def take(self, places: Sequence[int]) -> Samples:
        """Return the samples at these positions, in this order."""
        cond = None if self.cond is None else {k: v[list(places)] for k, v in self.cond.items()}
        return replace(self, examples=[self.examples[i] for i in places], cond=cond)

    @staticmethod
    def join(parts: Sequence[Samples]) -> Samples:
        """Concatenate samples. The origin stays if all parts have the same one."""
        from polydiff.core.condition_batch import join_conditions

        examples = [example for part in parts for example in part.examples]
        first = parts[0].origin if parts else None
        origin = first if all(part.origin == first for part in parts) else None
        return Samples(examples, join_conditions([part.cond for part in parts]), origin)


class DataSamples(Samples):
    """Examples of the data set, whose conditions are theirs, not requested."""


class Domain(Protocol):
    """One modality: its data, codec, network, judges and display.

    A domain may have further abilities (`polydiff.contract.abilities`).

    Attributes:
        statistics: What the codec measured on the training data, as JSON values. Checkpoints keep it. A domain built
            with given statistics measures nothing and can decode without its data set.
        conditions: Name -> kind (`polydiff.core.conditions`). A whole number n > 0 stands for `Classes(n)`, 0 for
            `Number()`. Code that reads the kinds calls `conditions_of`.
    """

    statistics: Mapping[str, Any]

    @property
    def conditions(self) -> Declared:
        """Name -> kind of each condition; {} if samples have none."""

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        """Prepare the domain; load data on first use only.

        Arguments:
            config: The run's configuration, of the class that the spec names.
            statistics: `statistics` of a checkpoint; None: measure them on the training data.
        """

    def size(self, split: str) -> int:
        """Return the number of examples of a split: "train", or the held-out "test"."""

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        """Return clean states of examples of a split, on the CPU.

        Arguments:
            split: "train" or "test".
            indices: B numbers of examples, below `size(split)`.
            generators: B generators, one an example, for random crops, flips and other augmentation.

        Returns:
            States x (B, ...), the space of these states, and their conditions (B, ...) by name or None.
        """

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        """Return the space of new samples and their conditions.

        Sizes, and conditions that are not requested, are drawn from their distribution in the training data. Each
        sample uses its own generator alone, so that sample i does not depend on the batch.

        Arguments:
            generators: B generators, one a sample.
            requested: Condition's name -> the user's value as text, in physical units ("C4", "120"), or an array if
                the condition is a sequence. polydiff passes this argument by position.

        Returns:
            The space of B states, and name -> tensor (B, ...) of conditions or None.

        Raises:
            UserError: `requested` has an unknown name or value.
        """

    def backbone(self) -> nn.Module:
        """Build the network of `config.backbone`, usually with `polydiff.build_backbone`."""

    def decode(self, x: State, space: Space) -> list[Any]:
        """Return states x (B, ...) as B examples in the domain's own form."""

    def examples(self, split: str, n: int) -> Samples:
        """Return up to n real examples of a split with their conditions, in the form that `decode` returns."""

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return metrics of samples by name.

        polydiff calls this for generated samples, real examples and decoded noise. The judges share no code and no
        weights with the model.
        """

    def show(self, samples: Samples) -> str:
        """Return an HTML fragment that shows the samples; it is self-contained and fetches nothing."""

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write one file per sample to a directory and return {"file": name, ...} of each for manifest.json."""

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return the conditions of each sample as the user writes them, such as {"pitch": "C4"}."""


def conditions_of(domain: Domain) -> Conditions:
    """Return the kinds of a domain's conditions, by name."""
    from polydiff.core.conditions import as_kinds

    return as_kinds(domain.conditions)
