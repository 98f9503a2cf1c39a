"""Metrics of a set of images: agreement with a classifier, distance to training images, overlap and copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.image.codec import unit
from polydiff.domains.image.data.source import Source
from polydiff.domains.image.metrics.judge import Judge, filter_features
from polydiff.metrics.copies import copy_share, copy_threshold, nearest
from polydiff.metrics.frechet import frechet_of_subsets
from polydiff.metrics.kernel import kernel_distance
from polydiff.metrics.least import too_few
from polydiff.metrics.neighbours import overlap_metrics
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, share

REFERENCE = 10_000
"""Largest number of training images with which features are compared."""
THUMBNAIL = 16
"""Side to which images are reduced in the search for copies."""


@dataclass(frozen=True)
class Search:
    """The search for the nearest training image, by thumbnails.

    Arguments:
        indices: Numbers of the training images that are searched, M.
        pixels: Their thumbnails, (M, D).
        held_out: Distance of each held-out image to the nearest one.
        near: Distance below which a sample counts as a copy (`polydiff.metrics.copies.copy_threshold`).
    """

    indices: Sequence[int]
    pixels: Tensor
    held_out: Tensor
    near: float

    @classmethod
    def of(cls, source: Source) -> Search:
        """Return the search of a data set, in all its training images if their number is limited."""
        train, test = source.splits["train"], source.splits["test"]
        indices = train.spread(REFERENCE) if source.unlimited else range(len(train))
        pixels = torch.cat([thumbnails(part) for part in train.parts(indices)])
        held_out = nearest(torch.cat([thumbnails(part) for part in test.parts(range(len(test)))]), pixels)
        return cls(indices, pixels, held_out, copy_threshold(held_out))

    @property
    def typical(self) -> float:
        """Median distance of held-out images; NaN without any."""
        return float(self.held_out.median()) if len(self.held_out) else math.nan

    def find(self, images: Tensor) -> tuple[list[int], list[float]]:
        """Return the number of the nearest training image of each image uint8 (B, C, H, W), and its distance."""
        distances, places = torch.cdist(thumbnails(images), self.pixels).min(1)
        return [self.indices[i] for i in places.tolist()], distances.tolist()


@dataclass(frozen=True)
class Reference:
    """The data with which samples are compared.

    Arguments:
        judge: The classifier; None if there are no classes.
        features: Images uint8 (B, C, H, W) -> features (B, D).
        n: Largest number of samples for metrics that depend on their number: the size of the test split.
        known: Features of training images, (M, D).
        search: Finds copies of training images.
    """

    judge: Judge | None
    features: Callable[[Tensor], Tensor]
    n: int
    known: Tensor
    search: Search

    @classmethod
    def of(cls, source: Source, channels: int, search: Search) -> Reference:
        """Return the reference of a data set; `search`: its own."""
        train, test = source.splits["train"], source.splits["test"]
        judge = Judge.of(train, test, len(source.names)) if source.names else None
        features = judge.features if judge else filter_features(channels)
        known = torch.cat([features(part) for part in train.parts(train.spread(REFERENCE))])
        return cls(judge, features, len(test), known, search)


def judge_metrics(images: Tensor, requested: Tensor | None, judge: Judge, classes: int) -> dict[str, Metric]:
    """Return the share of images whose requested class the classifier predicts.

    Arguments:
        images: uint8 (B, C, H, W).
        requested: Requested class of each image (B,), -1 for none; None: none for all.
        judge: The classifier.
        classes: Number of classes.
    """
    seen = judge.classes(images)
    given = torch.full_like(seen, -1) if requested is None else requested
    known = not math.isnan(judge.accuracy)
    right = f"is right on {100 * judge.accuracy:.1f} % of held-out images" if known else "no held-out image has a class"
    agrees = (seen == given)[given >= 0]
    reason = too_few("judge", judge.held_out, "held-out images with a class to test its classifier")
    reason = reason or ("" if len(agrees) else "no class was requested")
    number = Number(math.nan) if reason else share(int(agrees.sum()), len(agrees))
    return {
        "judge_agrees": Metric(
            number.value,
            "",
            "higher",
            "Share of images with a requested class that a classifier assigns to that class. It was trained on the "
            f"training split only and {right}; chance is about {1 / classes:.3f}.",
            number.error,
            n=len(agrees),
            reason=reason,
        )
    }


def set_metrics(images: Tensor, reference: Reference) -> dict[str, Metric]:
    """Return the metrics of any set of images against the training images."""
    n = reference.n
    features = torch.cat([reference.features(part) for part in (images[:n], images[n:]) if len(part)])
    pixels = nearest(thumbnails(images), reference.search.pixels)
    few = too_few("copies", reference.n, "held-out images")
    same = "" if few or reference.search.near > 0 else "1 % of the held-out images are copies of training images"
    return {
        **feature_metrics(features, reference),
        "copies": Metric(
            copy_share(pixels, reference.search.near),
            "",
            "lower",
            "Share of images nearer to a training image, in pixels, than 99 % of held-out images are: 0.01 by chance, "
            "much more where training images are repeated.",
            n=len(images),
            reason=few or same,
        ),
    }


def feature_metrics(features: Tensor, reference: Reference) -> dict[str, Metric]:
    """Return the distances of images from training images, and how both overlap, by features (B, D) of the images.

    All but the kernel distance depend on the number of images, so they take at most as many as are held out; of the
    Frechet distance, the mean over all such subsets is taken.
    """
    known = reference.known
    n, m = min(len(features), reference.n), len(known)
    first, by_judge = features[:n], reference.judge is not None
    suffix = "judge" if by_judge else "filters"
    eye = (
        "the classifier's last hidden layer" if by_judge else "fixed random filters, which only see colour and texture"
    )
    lacks = {
        "frechet": too_few("frechet", min(n, m), "images of each set"),
        "kernel": too_few("kernel", min(len(features), m), "images of each set"),
    }
    frechet = Number(math.nan) if lacks["frechet"] else frechet_of_subsets(features, known, n)
    distance = Number(math.nan) if lacks["kernel"] else kernel_distance(features, known)
    return {
        f"frechet_{suffix}": Metric(
            frechet.value,
            "",
            "lower",
            f"Frechet distance of {n} images to {m} training images, on {eye}, the mean over all disjoint sets of this "
            "many. A local number: compare it with the row of real data, not with published distances.",
            frechet.error,
            n=n,
            reason=lacks["frechet"],
        ),
        f"kid_{suffix}": Metric(
            distance.value,
            "",
            "lower",
            f"Kernel distance (KID) of {len(features)} images to {m} training images, on the same features. It has no "
            "bias on small sets, so that real data are near 0, and it may be below 0.",
            distance.error,
            n=len(features),
            reason=lacks["kernel"],
        ),
        **overlap_metrics(first, known[spread(m, n)], "images", eye),
    }


def spread(size: int, n: int) -> list[int]:
    """Return min(n, size) indices, spread evenly."""
    n = min(n, size)
    return [i * size // n for i in range(n)]


def thumbnails(images: Tensor) -> Tensor:
    """Return images uint8 (B, C, H, W) as vectors (B, D) of at most `THUMBNAIL` pixels a side."""
    side = min(THUMBNAIL, images.shape[-1])
    return torch.cat([functional.adaptive_avg_pool2d(unit(part), side).flatten(1) for part in images.split(1024)])
