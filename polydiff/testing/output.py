"""Checks of what a domain does with samples: decode, judge, show, save and describe them."""

from __future__ import annotations

import json
import math
import re
import tempfile
from pathlib import Path

import torch

from polydiff.contract.likeness import Encodes
from polydiff.core.space import Batch, sqnorm
from polydiff.metrics.results import Metric
from polydiff.support.protocols import provides
from polydiff.testing.parts.state import parts_of
from polydiff.testing.space import close, hold
from polydiff.testing.subject import Subject

FETCHED = re.compile(
    r"""(?:\b(?:src|href|poster|data)\s*=\s*["']?|url\(\s*["']?|@import\s+["'])\s*(?:https?:)?//""", re.I
)
"""Markup that makes a page load a file from the network; a namespace or an address in the text does not match."""


def check_decode(subject: Subject) -> str:
    """Check that data and noise decode to one example for each state, and that examples are encoded as they were."""
    x, space, _ = subject.batch
    examples = subject.domain.decode(x, space)
    hold(len(examples) == space.batch, f"decode returns {len(examples)} examples for {space.batch} states.")
    hold(
        len(subject.noise) == subject.n, f"decode returns {len(subject.noise)} examples for {subject.n} draws of noise."
    )
    if provides(subject.domain, Encodes):
        check_encoded(subject.batch, subject.domain.encode(examples))
    return type(examples[0]).__name__


def check_encoded(batch: Batch, again: Batch) -> None:
    """Check that decoded examples are encoded as the states from which they were decoded, part by part."""
    for part, other in zip(parts_of(batch), parts_of(again), strict=True):
        hold(
            other.x.shape == part.x.shape,
            f"encode gives {tuple(other.x.shape)}, not {tuple(part.x.shape)}{part.beside}.",
        )
        gap, size = sqnorm(part.space, other.x - part.x), sqnorm(part.space, part.x)
        same = close(gap, torch.zeros_like(gap), size)
        hold(same, f"encode does not give the states back that were decoded{part.beside}.")


def check_judges(subject: Subject) -> str:
    """Check that real data and noise have the same metrics, and that a metric is better on real data."""
    real, noise = subject.domain.evaluate(subject.real), subject.domain.evaluate(subject.noise)
    hold(bool(real), "evaluate returns no metric.")
    hold(set(real) == set(noise), f"Real data have the metrics {sorted(real)}, noise has {sorted(noise)}.")
    for name, metric in {**noise, **real}.items():
        hold(isinstance(metric, Metric), f"{name} is a {type(metric).__name__}, not a Metric.")
        hold(metric.better in ("higher", "lower"), f"{name}.better is {metric.better!r}, not 'higher' or 'lower'.")
        hold(bool(metric.meaning), f"{name} has no meaning: give Metric.meaning a sentence.")
    separating = [name for name in real if better(real[name], noise[name])]
    hold(bool(separating), "No metric is better on real data than on noise.")
    return f"real data are better than noise in {', '.join(separating)}"


def better(a: Metric, b: Metric) -> bool:
    """Return whether a is better than b; a number is better than NaN."""
    if math.isnan(a.value) or math.isnan(b.value):
        return not math.isnan(a.value)
    return a.value > b.value if a.better == "higher" else a.value < b.value


def check_show(subject: Subject) -> str:
    """Check that `show` returns HTML that loads nothing from the network, for data and noise."""
    sizes = []
    for samples in (subject.real, subject.noise):
        page = subject.domain.show(samples)
        hold(isinstance(page, str) and "<" in page, "show does not return HTML.")
        fetched = FETCHED.search(page)
        hold(fetched is None, f"show loads a file from the network: {page[fetched.start() :][:80] if fetched else ''}")
        sizes.append(len(page))
    return f"{sizes[0] / 1e3:.0f} kB for {len(subject.real)} examples"


def check_save(subject: Subject) -> str:
    """Check that `save` writes a file for each sample and lists it, and that `describe` describes each condition."""
    with tempfile.TemporaryDirectory() as folder:
        entries = subject.domain.save(subject.real, Path(folder))
        hold(len(entries) == len(subject.real), f"save returns {len(entries)} entries for {len(subject.real)} samples.")
        names = [entry.get("file", "") for entry in entries]
        hold(len(set(names)) == len(names), "save gives two samples the same file.")
        for name in names:
            path = Path(folder, name)
            hold(path.is_file() and path.stat().st_size > 0, f"save lists {name!r} and does not write it.")
        json.dumps(entries, allow_nan=False)
    if subject.real.cond is not None:
        described = subject.domain.describe(subject.real.cond)
        hold(
            len(described) == len(subject.real),
            f"describe returns {len(described)} entries for {len(subject.real)} samples.",
        )
        json.dumps(described)
    return str(names[0])
