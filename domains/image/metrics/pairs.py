"""Similarity of restored images to the true ones, as metrics of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.metrics.results import Metric

WINDOW, SIGMA = 11, 1.5
"""Width of the window of structural similarity and its standard deviation, in pixels."""


def pair_metrics(images: Sequence[Tensor], truth: Sequence[Tensor]) -> dict[str, Metric]:
    """Return the mean similarity of images uint8 (C, H, W) to the true ones; NaN if there are none."""
    pairs = [(a.double()[None] / 255, b.double()[None] / 255) for a, b in zip(images, truth, strict=True)]
    errors = torch.tensor([float((a - b).square().mean()) for a, b in pairs], dtype=torch.float64)
    likeness = torch.tensor([float(structural_similarity(a, b)) for a, b in pairs], dtype=torch.float64)
    return {
        "psnr": Metric(
            float(-10 * errors.mean().log10()) if len(errors) else math.nan,
            "dB",
            "higher",
            "Peak signal-to-noise ratio against the held-out images, from the mean squared error of all.",
        ),
        "ssim": Metric(
            float(likeness.mean()),
            "",
            "higher",
            "Structural similarity to the held-out image, 1 for the image itself (Wang et al., 2004).",
        ),
    }


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of images (B, C, H, W) in [0, 1], shape (B,).

    Means, variances and covariances are weighted by a Gaussian window of standard deviation 1.5 pixels, which is 11
    pixels wide, or as wide as the image allows. It is centred at each pixel where it lies inside the image. (Wang et
    al., 2004, https://doi.org/10.1109/TIP.2003.819861)
    """
    width = min(WINDOW, *(side - 1 + side % 2 for side in a.shape[2:]))
    line = torch.exp(-((torch.arange(width, dtype=a.dtype) - width // 2) ** 2) / (2 * SIGMA**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(a.shape[1], 1, -1, -1)

    def mean(x: Tensor) -> Tensor:
        return functional.conv2d(x, window, groups=a.shape[1])

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (luminance * (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)).flatten(1).mean(1)
