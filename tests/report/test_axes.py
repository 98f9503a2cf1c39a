"""Axes of plots: ticks, places and labels."""

from __future__ import annotations

import re

import pytest

from polydiff.report.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    linear,
    linear_ticks,
    log_ticks,
    logarithmic,
    plot,
    thousands,
)


def test_ticks_are_round_and_inside() -> None:
    assert linear_ticks(0, 600) == pytest.approx([0, 200, 400, 600])
    assert linear_ticks(0.11, 0.52) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert log_ticks(0.03, 3) == pytest.approx([0.05, 0.1, 0.2, 0.5, 1, 2])
    assert log_ticks(0.5, 2e4) == pytest.approx([1, 10, 100, 1000, 1e4])


def test_the_ends_of_an_axis_are_the_edges_of_the_frame() -> None:
    across, up = linear(-2, 6, LEFT, RIGHT), logarithmic(0.1, 1000, BOTTOM, TOP)
    assert (across.at(-2), across.at(6), across.at(2)) == (LEFT, RIGHT, (LEFT + RIGHT) / 2)
    assert [up.at(value) for value in (0.1, 10, 1000)] == pytest.approx([BOTTOM, (BOTTOM + TOP) / 2, TOP])
    assert linear(3, 3, LEFT, RIGHT).at(3) == (LEFT + RIGHT) / 2


def test_labels_use_the_given_format_and_long_ones_end_at_the_edge() -> None:
    across, up = linear(0, 20_000, LEFT, RIGHT), linear(0, 1, BOTTOM, TOP)
    label = r'y="193" text-anchor="(\w+)">([^<]*)<'
    assert re.findall(label, plot("steps", across, up, [], thousands))[-1] == ("end", "20,000")
    assert re.findall(label, plot("values", across, up, []))[-1] == ("end", "20000")
    assert re.findall(label, plot("steps", linear(0, 300, LEFT, RIGHT), up, []))[-1] == ("end", "300")
    assert re.findall(label, plot("values", linear(0, 10, LEFT, RIGHT), up, []))[-1] == ("middle", "10")
