"""Memorisation: the training examples nearest to samples, and the share of copies (`polydiff.judging.copies`)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.likeness import FindsNearest, Nearest
from polydiff.judging.copies import HELD_OUT, CopyTest
from polydiff.looking.fragments import GRID, NUMBER, show
from polydiff.looking.subject import Subject, Unable
from polydiff.metrics.copies import copy_share
from polydiff.metrics.histogram import summary
from polydiff.metrics.results import Measured
from polydiff.report.histograms import histogram
from polydiff.report.views import View
from polydiff.support.files import json_number
from polydiff.support.protocols import provides

TITLE = "Nearest training examples"
MATCHED = 8
"""Number of samples that are shown."""
COUNTED = 64
"""Number of samples whose distances are compared with those of held-out examples."""


class Memorised(NamedTuple):
    """Distances to the nearest training example.

    Attributes:
        samples: The samples.
        nearest: Their nearest training examples.
        held_out: Distance of each held-out example to its nearest training example, (M,).
        threshold: Distance below which a sample counts as a copy; NaN if there are too few held-out examples.
        share: Share of samples that count as copies; NaN without a threshold.
    """

    samples: Samples
    nearest: Nearest
    held_out: Tensor
    threshold: float
    share: float


def memorised(subject: Subject, samples: Samples, held_out: int = HELD_OUT) -> Memorised:
    """Return how near samples are to training examples, against up to so many held-out examples."""
    domain = subject.model.domain
    assert provides(domain, FindsNearest)
    found, test = domain.nearest(samples), CopyTest.of(domain, domain, held_out)
    share = copy_share(torch.tensor(list(found.distances)), test.threshold)
    return Memorised(samples, found, test.held_out, test.threshold, share)


def nearest_view(subject: Subject) -> View:
    """Return samples beside their nearest training examples; missing if the domain does not search for them."""
    domain = subject.model.domain
    if not provides(domain, FindsNearest):
        raise Unable("The domain does not search for nearest training examples (`FindsNearest`).")
    request, n = subject.request(COUNTED if subject.thorough else MATCHED)
    samples = request.joined(range(n), subject.seed)
    if not subject.thorough:
        found = domain.nearest(samples)
        return View("nearest", TITLE, note(found), cells(domain, samples, found))
    counted = memorised(subject, samples)
    few = samples.head(MATCHED)
    return View(
        "nearest",
        TITLE,
        note(counted.nearest) + copies_note(counted),
        cells(domain, few, counted.nearest) + distances(counted),
        {
            "distances": [json_number(distance) for distance in counted.nearest.distances],
            "held_out": [json_number(distance) for distance in counted.held_out.tolist()],
            "copy_threshold": json_number(counted.threshold),
            "share_of_copies": json_number(counted.share),
        },
    )


def note(found: Nearest) -> str:
    """Return how to read the pairs."""
    typical = "" if math.isnan(found.typical) else f" That of held-out examples is {found.typical:.3g} (median)."
    return (
        f"Each pair is a sample and, to its right, the training example nearest to it in {found.meaning}, with the "
        f"distance.{typical} A much smaller distance means a copy."
    )


def copies_note(counted: Memorised) -> str:
    """Return a sentence with the share of copies."""
    if math.isnan(counted.share):
        return f" With {len(counted.held_out)} held-out examples there is no threshold for copies."
    return (
        f" {counted.share:.1%} of {len(counted.samples)} samples are copies: nearer to a training example than "
        f"{counted.threshold:.3g}, as 1 % of {len(counted.held_out)} held-out examples are."
    )


def distances(counted: Memorised) -> str:
    """Return the histogram of the distances of samples (line) and of held-out examples (area)."""
    what = "distance to the nearest training example"
    both = (Measured(list(found), [], "", what) for found in (counted.nearest.distances, counted.held_out.tolist()))
    drawn = histogram(summary(*both), what)
    return "" if drawn is None else f"<p>Distances of samples (line) and of held-out examples (area):</p>{drawn}"


def cells(domain: Domain, samples: Samples, found: Nearest) -> str:
    """Return pairs of a sample and its nearest training example as HTML."""
    pairs = "".join(
        pair_cell(domain, samples.take([i]), found.examples.take([i]), found.distances[i]) for i in range(len(samples))
    )
    return f'<div style="{GRID}repeat(auto-fill,minmax(14rem,1fr))">{pairs}</div>'


def pair_cell(domain: Domain, sample: Samples, near: Samples, distance: float) -> str:
    """Return a sample beside its nearest training example as HTML; alone if their distance is NaN."""
    compared = not math.isnan(distance)
    pictures = [show(domain, sample), *([show(domain, near)] if compared else [])]
    caption = f"distance {distance:.3g}" if compared else "cannot be compared"
    return (
        f'<div style="display:flex;gap:8px;align-items:flex-start;flex-wrap:wrap">{"".join(pictures)}'
        f'<span style="{NUMBER};flex-basis:100%">{caption}</span></div>'
    )
