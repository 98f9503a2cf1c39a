"""What a modality must provide.

A domain is found through the entry point group `polydiff.domains`. Its entry point names a `DomainSpec`, which says
what it is without importing anything heavy; the spec names a config class and a factory, which load on use. What the
factory returns is a `Domain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from polydiff.metrics.results import Metric

if TYPE_CHECKING:  # a spec is read by commands that must not wait for torch
    import torch
    from torch import nn

    from polydiff.contract.sections import Config
    from polydiff.core.conditions import Condition, Conditions, Declared
    from polydiff.core.space import Batch, Space, State

API = 1


@dataclass(frozen=True, kw_only=True)
class DomainSpec:
    """A domain's card: everything that can be said without importing it.

    Arguments:
        name: What `--domain` says.
        summary: One line.
        config: "module:Class" of its configuration, a `polydiff.contract.sections.Config` that imports no torch.
        factory: "module:Class" of the domain, called as factory(config, statistics=None).
        suffixes: Of the files that it reads, such as ".wav": by them `polydiff data check` tells what a folder holds.
        requires: Modules that it needs beyond polydiff's own.
        install: What to type where one of them is missing.
        presets: Name -> overrides with dotted keys, such as {"train.steps": 2000}; {} is the config's own defaults.
            The first is the default.
        api: Version of this interface.
    """

    kind: ClassVar[str] = "domain"

    name: str
    summary: str
    config: str
    factory: str
    suffixes: Sequence[str] = ()
    requires: Sequence[str] = ()
    install: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"quick": {}})
    api: int = API


@dataclass(frozen=True)
class Samples:
    """Examples as a person knows them (pictures, sounds, molecules), and what each was asked to be.

    Arguments:
        examples: In the domain's own form, as `Domain.decode` returns them.
        cond: The conditions, None where there are none.
    """

    examples: Sequence[Any]
    cond: Condition | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def head(self, n: int) -> Samples:
        """Return the first n."""
        return Samples(self.examples[:n], None if self.cond is None else {k: v[:n] for k, v in self.cond.items()})

    def take(self, places: Sequence[int]) -> Samples:
        """Return those at these places."""
        cond = None if self.cond is None else {k: v[list(places)] for k, v in self.cond.items()}
        return Samples([self.examples[i] for i in places], cond)

    @staticmethod
    def join(parts: Sequence[Samples]) -> Samples:
        """Return consecutive samples as one."""
        from polydiff.core.condition_batch import join_conditions

        examples = [example for part in parts for example in part.examples]
        return Samples(examples, join_conditions([part.cond for part in parts]))


class Domain(Protocol):
    """One modality: its data, its codec, its network, its judge and its pictures.

    Attributes:
        statistics: What the codec measured on the training data, as JSON; kept in checkpoints. A domain built with
            given statistics measures nothing, and decodes without its data set.
        conditions: Name -> kind (`polydiff.core.conditions`); a number of classes stands for `Classes`, 0 for `Number`.
            Code that reads them calls `conditions_of`.
    """

    statistics: Mapping[str, Any]

    @property
    def conditions(self) -> Declared:
        """Name -> kind."""

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        """Prepare the domain. Data are loaded on first use."""

    def size(self, split: str) -> int:
        """Return the number of examples of "train" or "test"."""

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        """Return clean states of these examples on the CPU; crops and flips are drawn from the example's generator."""

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        """Return where new samples live, one a generator, and their conditions.

        Sizes and the conditions that `asked` does not name are drawn as in the training data, each from its sample's
        generator alone. `asked` holds the user's words, in physical units, and an array where a condition is a
        sequence; an unknown name or value is a `UserError`.
        """

    def backbone(self) -> nn.Module:
        """Return the network of `config.backbone`."""

    def decode(self, x: State, space: Space) -> list[Any]:
        """Return examples in the domain's own form."""

    def examples(self, split: str, n: int) -> Samples:
        """Return up to n real examples, in the form that `decode` gives, with their conditions."""

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Judge samples, generated, real or noise alike, by judges that share nothing with the model."""

    def show(self, samples: Samples) -> str:
        """Return an HTML fragment that shows the samples: self-contained, nothing fetched."""

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write one file a sample and return, for each, {"file": name, ...} for the manifest."""

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return each sample's conditions in the user's words, such as {"pitch": "C4"}."""


def conditions_of(domain: Domain) -> Conditions:
    """Return the kinds of a domain's conditions, by name."""
    from polydiff.core.conditions import as_kinds

    return as_kinds(domain.conditions)
