"""Texts as a domain: letters at L places, or for Gaussian diffusion their centred vectors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.backbones.letters import OneHot, one_hot_channels
from polydiff.config.processes import states_of
from polydiff.contract.abilities import Inspection
from polydiff.contract.backbone import build_backbone
from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.data.identity import digest_of, embedded_identity, identity
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.statistics import check_statistics
from polydiff.contract.domain import DataSamples, Samples
from polydiff.contract.fields import from_json, to_json
from polydiff.contract.likeness import Nearest
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.inpaint import Inpaint, InpaintLetters
from polydiff.contract.tasks.task import Generate, Observes, with_task_conditions
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.space import Batch, Space, State
from polydiff.core.units import Units
from polydiff.domains.sequence.alphabet import Alphabet, spell
from polydiff.domains.sequence.config import SequenceConfig
from polydiff.domains.sequence.data.inputs import BLANK, blanks_in, read_texts, region, without_blanks
from polydiff.domains.sequence.data.inspect import inspect_texts
from polydiff.domains.sequence.data.rewrite import rewritten
from polydiff.domains.sequence.data.source import Source, Split, check_restored, open_source, spread
from polydiff.domains.sequence.data.sums import sums_entropy
from polydiff.domains.sequence.metrics.evaluation import Evaluation, same_texts
from polydiff.domains.sequence.metrics.molecules import mols
from polydiff.domains.sequence.show import show, show_weights
from polydiff.domains.sequence.simplex import CentredSpace, centred, decided
from polydiff.domains.sequence.statistics import SequenceStatistics
from polydiff.metrics.results import Measured, Metric
from polydiff.parts.known import check_open_letters
from polydiff.support.errors import UserError


class SequenceDomain:
    """Texts: sums, SMILES, or the user's own. An example is a str.

    Arguments:
        config: The run's configuration.
        statistics: {"letters", "ends", "tokens", "length", "frequencies", "conditions"}; None: measured on the training
            texts.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config, SequenceConfig)
        self.config, self.data = config, config.data
        if statistics is not None:
            check_statistics(SequenceStatistics, statistics)
        self.statistics: Mapping[str, Any] = dict(statistics or {})
        self.statistics = self.statistics or self.measure()
        self.alphabet, self.length = Alphabet.of(self.statistics), int(self.statistics["length"])
        self.data_conditions = DataConditions(
            from_json(self.statistics["conditions"]), self.statistics.get("profiles", {})
        )
        self.discrete = states_of(config) == "letters"
        self.task = self.open_task()
        self.conditions: Conditions = with_task_conditions(self.data_conditions.kinds, self.task)

    def open_task(self) -> Observes:
        """Return the task of the configuration; known letters need a process that shows them, or real numbers."""
        assert isinstance(self.config, SequenceConfig)
        if self.config.task == "generate":
            return Generate()
        if not self.discrete:
            return Inpaint(self.alphabet.size)
        check_open_letters(self.config.process)
        frequencies = self.statistics["frequencies"]
        usual = max(range(len(frequencies)), key=frequencies.__getitem__)
        return InpaintLetters(self.alphabet.size, 1, usual=usual)

    @cached_property
    def source(self) -> Source:
        """The data set, read on first use; it must have the letters, lengths and conditions of training."""
        source = open_source(self.data)
        if not self.statistics:
            return source
        check_restored(source, self.alphabet, self.length, self.data_conditions.fields)
        self.data_conditions.warn_of_unknown(source.fields)
        return source

    def measure(self) -> dict[str, Any]:
        """Return the statistics of the training texts."""
        source, tokens = self.source, self.data.tokens
        letters = "".join(sorted({letter for text in source.splits["train"].whole() for letter in text}))
        alphabet = Alphabet(letters, source.ends, tokens)
        length = self.data.length or source.longest + 1
        return {
            "letters": letters,
            "ends": source.ends,
            "tokens": tokens,
            "length": length,
            "frequencies": alphabet.frequencies(source.splits["train"].whole(), length),
            "conditions": to_json(source.fields),
            **({"profiles": source.profiles} if source.profiles else {}),
        }

    @cached_property
    def evaluation(self) -> Evaluation:
        """The judges, and the training texts with which samples are compared."""
        return Evaluation(self.source, self.data, self.alphabet)

    @property
    def quarantine(self) -> Quarantine | None:
        """How many texts were found and which are excluded; None for embedded ones."""
        return self.source.quarantine

    @staticmethod
    def inspect(config: Config, set_keys: Collection[str]) -> Inspection:
        """Inspect files of texts (`polydiff.contract.abilities.Inspects`)."""
        assert isinstance(config, SequenceConfig)
        return inspect_texts(config, set_keys, lambda: SequenceDomain(config))

    def entropy(self) -> float | None:
        """Return the entropy of a sum in nats (`polydiff.contract.abilities.HasEntropy`); None for other texts."""
        return sums_entropy(self.data.largest) * math.log(2) if self.data.name == "sums" else None

    def size(self, split: str) -> int:
        return len(self.source.splits[split])

    def identity(self, split: str) -> dict[str, Any]:
        """Return digests of the texts with their conditions (`polydiff.contract.abilities.HasIdentity`)."""
        part = self.source.splits[split]
        if self.quarantine is None:
            return embedded_identity(f"{self.data.name} {self.data.largest}", len(part))
        rows = zip(part.whole(), part.values(range(len(part))), strict=False)  # crops are of one text
        return identity((str(i), digest_of([text, repr(sorted(row.items()))])) for i, (text, row) in enumerate(rows))

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        part = self.source.splits[split]
        spelled = part.spelled(indices, generators if split == "train" else None)
        if split == "train" and self.data.augment:
            spelled = [self.augmented(text, generator) for text, generator in zip(spelled, generators, strict=True)]
        x = self.alphabet.encode(spelled, self.length)
        states = self.states(x)
        cond = {**(self.cond(part, indices) or {}), **self.task.observe(states, generators)}
        return Batch(states, self.space(len(x), self.length), cond or None)

    def augmented(self, spelled: str, generator: torch.Generator) -> str:
        """Return a SMILES written anew with the probability `data.augment`, if it fits; else the text itself."""
        if float(torch.rand((), generator=generator)) >= self.data.augment:
            return spelled
        found = spell(rewritten(spelled, generator), self.data.tokens)
        return found if len(found) < self.length and not self.alphabet.lacks(found) else spelled

    def states(self, numbers: Tensor) -> State:
        """Return numbers of letters (B, L) as states of the process: themselves, or centred vectors (B, K, L)."""
        return numbers if self.discrete else centred(numbers, self.alphabet.size)

    def space(self, n: int, length: int) -> Space:
        """Return the space of n texts of so many letters."""
        if self.discrete:
            return LettersSpace(n, (length,), self.alphabet.size)
        return CentredSpace(n, self.alphabet.size, length)

    def cond(self, part: Split, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of texts of a split; None if there are none."""
        return self.data_conditions.encode(part.values(indices)) or None

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the texts of files as clean states (`polydiff.contract.abilities.Reads`).

        Blanks become the letter that is masked, for `blanks`.
        """
        spelled = read_texts(paths, self.data, self.alphabet, self.length)
        n, length = len(spelled), self.length if self.alphabet.ends else len(spelled[0])
        if not self.alphabet.ends and len({*map(len, spelled)}) > 1:
            raise UserError("These texts differ in length. Read texts of different lengths one at a time.")
        nothing = blank_conditions(self.conditions, n, (length,))
        x, blank = (
            self.alphabet.encode(without_blanks(spelled, self.alphabet), length),
            blanks_in(spelled, self.alphabet, length),
        )
        if not self.discrete and bool(blank.any()):
            raise UserError(
                f"A text has a blank {BLANK}, which needs a process of letters. Name places by gap instead."
            )
        states = torch.where(blank, self.alphabet.size, x) if self.discrete else self.states(x)
        return Batch(states, self.space(n, length), nothing or None)

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Raise UserError: the task reads no files (`polydiff.contract.abilities.Restores`)."""
        raise UserError(f"task={getattr(self.config, 'task', 'generate')} reads no files of another form.")

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return how many texts are the true ones (`polydiff.contract.abilities.Compares`)."""
        return same_texts(samples.examples, truth.examples)

    def blanks(self, given: Batch) -> tuple[Batch, Tensor]:
        """Return texts without blanks, and where they had none (`polydiff.contract.abilities.HasBlanks`)."""
        if not self.discrete:
            return given, torch.ones(1, dtype=torch.bool)
        known = given.x != self.alphabet.size
        return given._replace(x=torch.where(known, given.x, 0)), known

    def region(self, text: str, given: Batch) -> Tensor:
        """Return the mask of the places BEGIN:END (`polydiff.contract.abilities.HasRegions`)."""
        return region(text, given.x.shape[-1])

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        drawn = self.data_conditions.draw(generators, requested)
        unknown = blank_conditions(self.task.conditions, len(generators), (self.length,))
        return self.space(len(generators), self.length), {**drawn, **unknown} or None

    def backbone(self) -> nn.Module:
        channels = one_hot_channels(self.alphabet.size) if self.discrete else self.alphabet.size
        network = build_backbone(self.config.backbone, channels=channels, dims=1, conditions=self.conditions)
        return OneHot(network, self.alphabet.size, 1) if self.discrete else network

    def units(self, x: State, space: Space) -> Units:
        """Return one bin a letter, so that likelihoods are those of texts; centred vectors have a density."""
        scale = torch.zeros(space.batch)
        return Units(x - 0.5, x + 0.5, scale) if self.discrete else Units(None, None, scale, "state")

    def decode(self, x: State, space: Space) -> list[Any]:
        return self.alphabet.decode(x if self.discrete else decided(x))

    def examples(self, split: str, n: int) -> Samples:
        part = self.source.splits[split]
        indices = spread(part, n)
        return DataSamples(self.texts(part, indices), self.cond(part, indices))

    def texts(self, part: Split, indices: Sequence[int]) -> list[str]:
        """Return texts of a split, as `decode` returns them."""
        return self.alphabet.decode(self.alphabet.encode(part.spelled(indices), self.length))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        return self.evaluation.evaluate(samples.examples, isinstance(samples, DataSamples))

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return the lengths of texts (`polydiff.contract.abilities.HasMeasures`)."""
        sizes = [float(len(spell(text, self.data.tokens))) for text in samples.examples]
        return {"length": Measured(sizes, [], "letters", "length of a text")} if self.alphabet.ends else {}

    def nearest(self, samples: Samples) -> Nearest:
        """Return the nearest training texts (`polydiff.contract.likeness.FindsNearest`)."""
        search, train = self.evaluation.search, self.source.splits["train"]
        found = [search.find(spell(text, self.data.tokens)) for text in samples.examples]
        numbers = [number for number, _ in found]
        examples = Samples(self.texts(train, numbers), self.cond(train, numbers))
        what = "letters to insert, delete or replace"
        return Nearest(examples, [distance for _, distance in found], search.typical, what)

    def show(self, samples: Samples) -> str:
        return show(samples.examples, [", ".join(map(str, words.values())) for words in self.words(samples)])

    def show_weights(self, samples: Samples, weights: Tensor, captions: Sequence[str]) -> str:
        """Return texts on weights of their letters (`polydiff.contract.likeness.ShowsWeights`)."""
        spelled = [spell(text, self.data.tokens) for text in samples.examples]
        return show_weights(spelled, weights, captions, self.length)

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}{self.suffix}" for i in range(len(samples))]
        for name, text in zip(names, samples.examples, strict=True):
            (directory / name).write_text(f"{text}\n", encoding="utf-8", newline="\n")
        return [{"file": name, **words} for name, words in zip(names, self.words(samples), strict=True)]

    @property
    def suffix(self) -> str:
        """Suffix of saved files: that of a list of SMILES, or of plain text."""
        return ".smi" if self.data.judged_as_smiles else ".txt"

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return a file with a text a line; as JSON {"text": ...} if texts may hold line breaks."""
        if "\n" not in self.alphabet.letters:
            return {f"samples{self.suffix}": "".join(f"{text}\n" for text in samples.examples)}
        rows = (json.dumps({"text": text}, ensure_ascii=False) for text in samples.examples)
        return {"samples.jsonl": "".join(f"{row}\n" for row in rows)}

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return conversions to an array of str, and of SMILES to RDKit's molecules, None where it reads none."""
        return {"numpy": lambda texts: np.array(list(texts)), **({"rdkit": mols} if self.data.judged_as_smiles else {})}

    def words(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of samples as the user writes them, {} for each without conditions."""
        return [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return self.data_conditions.describe(cond)
