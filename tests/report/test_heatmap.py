"""Counts as a picture: every cell where and as strong as it should be; names that fit."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import torch

from polydiff.metrics.results import Confusion
from polydiff.report.heatmap import MARGIN, SIDE, heatmap, thinned


def test_cells_stand_where_counts_are_and_are_as_strong_as_their_share() -> None:
    svg = heatmap(["cat", "dog"], ["cat", "dog", "none"], [[4, 1, 0], [0, 0, 0]])
    cells = re.findall(
        r'<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)" fill-opacity="(\S+)"><title>(.*?)<', svg
    )
    (first, second) = ([float(number) for number in cell[:5]] for cell in cells)
    assert first == [MARGIN, 0, SIDE / 3, SIDE / 2, 0.81]  # 0.06 + 0.94 * 4 / 5, to two digits
    assert second[:2] == [MARGIN + SIDE / 3, 0]
    assert [cell[5] for cell in cells] == [
        "requested cat, predicted cat: 4 of 5",
        "requested cat, predicted dog: 1 of 5",
    ]


def test_names_are_escaped_shortened_and_thinned() -> None:
    names = [f"<class & {i}>" for i in range(100)]
    svg = heatmap(names, names, torch.eye(100, dtype=torch.long).tolist())
    ElementTree.fromstring(svg)
    assert "<class" not in svg
    kept = thinned(names, SIDE / 100)
    assert kept[0][0] == 0
    assert {b - a for (a, _), (b, _) in pairwise(kept)} == {3}  # 3 times 3 pixels are 9
    ElementTree.fromstring(heatmap([], [], []))


def test_empty_rows_have_no_cells() -> None:
    found = Confusion.of(torch.tensor([0, 1, 1, -1, 0]), torch.tensor([0, 1, 2, 1, 3]), ["a", "b"], ["other", "none"])
    assert found.seen == ["a", "b", "other", "none"]
    assert found.counts == [[1, 0, 0, 1], [0, 1, 1, 0]]


def test_counts_are_written_where_there_is_room() -> None:
    svg = heatmap(["cat", "dog"], ["cat", "dog"], [[40, 1], [0, 7]])
    counts = re.findall(r'<text class="(on|off)" x="(\S+)" y="(\S+)" text-anchor="middle">(\d+)<', svg)
    assert [(kind, number) for kind, _, _, number in counts] == [("on", "40"), ("off", "1"), ("on", "7")]
    assert float(counts[0][1]) == MARGIN + SIDE / 4
    ten = [[12] * 10] * 10
    assert heatmap(list("abcdefghij"), list("abcdefghij"), ten).count('text-anchor="middle"') == 100
    hundred = torch.eye(100, dtype=torch.long).tolist()
    assert "middle" not in heatmap(list(map(str, range(100))), list(map(str, range(100))), hundred)
