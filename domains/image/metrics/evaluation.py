"""Evaluation of images: a classifier of their classes, distances between sets, and captions of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.data.columns import LABEL
from polydiff.contract.domain import Samples
from polydiff.contract.text.columns import TEXT
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.source import Source
from polydiff.domains.image.metrics.sample_set import Reference, Search, judge_metrics, set_metrics
from polydiff.domains.image.shapes.judge import caption_metrics
from polydiff.metrics.results import Confusion, Metric


@dataclass(frozen=True)
class Evaluation:
    """Metrics for samples of one data set.

    Arguments:
        source: The data set.
        data: Its configuration.
        conditions: Its conditions.
    """

    source: Source
    data: ImageData
    conditions: DataConditions

    @cached_property
    def reference(self) -> Reference:
        """The judge, and the data with which samples are compared."""
        return Reference.of(self.source, self.data.planes, self.search)

    @cached_property
    def search(self) -> Search:
        """The search for the nearest training image."""
        return Search.of(self.source)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples."""
        images, reference = torch.stack(list(samples.examples)), self.reference
        seen: dict[str, Metric] = {}
        if reference.judge:
            requested = (samples.cond or {}).get(LABEL)
            seen = judge_metrics(images, requested, reference.judge, len(self.conditions.class_names(LABEL)))
        return self.agreement(samples) | seen | set_metrics(images, reference)

    def agreement(self, samples: Samples) -> dict[str, Metric]:
        """Return how well scenes of shapes agree with their captions; {} for other images."""
        cond = samples.cond or {}
        if self.data.name != "shapes" or TEXT not in cond:
            return {}
        captions = [str(row[TEXT]) for row in self.conditions.describe({TEXT: cond[TEXT]})]
        return caption_metrics(samples.examples, captions, self.data.shrink)

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return requested classes against those that the classifier predicts; {} without either."""
        requested = (samples.cond or {}).get(LABEL)
        if requested is None or not self.reference.judge:
            return {}
        seen = self.reference.judge.classes(torch.stack(list(samples.examples)))
        return {LABEL: Confusion.of(requested, seen, self.conditions.class_names(LABEL))}
