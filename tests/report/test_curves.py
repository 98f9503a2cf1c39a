"""Tests of `polydiff.report.curves`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from report_cases import Page, report

from polydiff.report.curves import curve, smooth, thin
from polydiff.report.page import fitting


def curve_of(page: str, title: str) -> tuple[list[tuple[float, float]], str]:
    """Return the dots of a curve, in the plot's coordinates, and its whole figure."""
    figure = page[page.index(f"<figcaption><b>{title}</b>") :]
    figure = figure[: figure.index("</figure>")]
    dots = re.search(r'class="raw" d="([^"]*)"', figure)
    assert dots
    return [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+)h0", dots[1])], figure


def test_curves_hold_what_was_logged_and_mark_what_is_not_finite(tmp_path: Path) -> None:
    losses = {10: 1.0, 20: 0.1, 30: math.nan, 40: 0.01, 50: math.inf, 60: None}
    lines = [json.dumps({"step": s, "loss": v, "lr": s * 1e-5, "seconds": s}) for s, v in losses.items()]
    torn = "\n".join([*lines, '{"step": 70, "lo'])
    dots, figure = curve_of(page := report(tmp_path, **{"metrics.jsonl": torn}), "Loss")
    (x1, y1), (x2, y2), (x3, y3) = dots
    assert y3 - y2 == pytest.approx(y2 - y1, abs=0.2)  # three decades, evenly spaced: the axis is logarithmic
    assert y1 < y2 < y3
    assert x3 - x2 == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert figure.count('class="alarm"') == 3
    assert "3 not finite (▼), at step 30, 50, 60" in figure
    rates, _ = curve_of(page, "Learning rate")
    assert len(rates) == 6
    assert "after 60 of 600 training steps" in " ".join(Page(page).text.split())


def test_a_quantity_that_never_was_finite_has_no_curve(tmp_path: Path) -> None:
    page = report(tmp_path, **{"metrics.jsonl": '{"step": 1, "loss": NaN}\n'})
    assert "No value can be drawn" in page
    assert '<svg class="curve"' not in page


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0, 0.0], [-3.0, 2.0], [1e-12, 1e12]])
def test_any_finite_values_make_a_curve(tmp_path: Path, values: list[float]) -> None:
    log = "".join(json.dumps({"step": i + 1, "loss": v}) + "\n" for i, v in enumerate(values))
    dots, _ = curve_of(report(tmp_path, **{"metrics.jsonl": log}), "Loss")
    assert len(dots) == len(values)
    assert all(0 <= x <= 360 and 0 <= y <= 210 for x, y in dots)


def test_fitting_keeps_the_ends() -> None:
    assert fitting([1] * 9, 9) == list(range(9))
    assert fitting([1] * 9, 5) == [0, 2, 4, 6, 8]
    assert fitting([1] * 9, 2) == [0, 8]
    assert fitting([5, 1, 1], 1) == [2]
    assert fitting([1, 2], 1) == []
    assert fitting([], 1) == []


def test_smooth_keeps_lines_and_averages_noise() -> None:
    x = np.arange(1000.0)
    inner = slice(150, -150)
    assert smooth(x, 3 * x + 1, x)[inner] == pytest.approx((3 * x + 1)[inner])
    noise = np.random.default_rng(0).normal(size=1000)
    # the variance of a Gaussian mean of standard deviation w over unit noise is 1 / (2 sqrt(pi) w)
    assert smooth(x, noise, x).var() == pytest.approx(1 / (2 * math.sqrt(math.pi) * 0.03 * 999), rel=0.5)


def test_thin_keeps_spikes_and_order() -> None:
    x, y = np.arange(50_000.0), np.ones(50_000)
    y[[123, 40_000]] = 9, -9
    thin_x, thin_y = thin(x, y)
    assert len(thin_x) <= 1000
    assert (thin_y.max(), thin_y.min()) == (9, -9)
    assert (np.diff(thin_x) > 0).all()


def test_a_curve_of_many_points_stays_small() -> None:
    x = np.arange(200_000.0)
    svg = curve(x, 1 + np.random.default_rng(0).random(len(x)), "Loss")
    assert len(svg) < 40_000
    line = re.search(r'class="mean" d="M([^"]*)"', svg)
    assert line
    heights = [float(point.split()[1]) for point in line[1].split("L")]
    assert max(heights) - min(heights) < 2  # the mean of so many is nearly constant
