"""Tests of `polydiff.domains.image.shapes.components`."""

from __future__ import annotations

import torch

from polydiff.domains.image.shapes.components import blurred, grow, label


def mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[c == "#" for c in row] for row in rows])


def test_touching_pixels_share_a_label_and_others_do_not() -> None:
    first = mask("##..#", "..#.#", ".....", "#####")
    second = mask("#....", ".....", ".....", ".....")
    labels = label(torch.stack([first, second]))
    assert torch.equal(labels > 0, torch.stack([first, second]))
    assert len(labels.unique()) == 1 + 4
    assert labels[0, 0, 0] == labels[0, 0, 1] == labels[0, 1, 2]
    assert labels[0, 0, 4] == labels[0, 1, 4]
    assert len(labels[0, 3].unique()) == 1


def test_labels_grow_into_what_is_free() -> None:
    labels = torch.zeros(1, 7, 7, dtype=torch.long)
    labels[0, 3, 1], labels[0, 3, 4] = 5, 9
    grown = grow(labels, 1)
    assert (grown == 5).sum() == (grown == 9).sum() == 9
    assert torch.equal(grow(grown, 0), grown)
    assert (grow(labels, 6) > 0).all()


def test_blur_keeps_constants_and_sums() -> None:
    assert torch.equal(blurred(torch.full((1, 2, 5, 5), 3.0)), torch.full((1, 2, 5, 5), 3.0))
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 16
    assert torch.equal(blurred(point)[0, 0, 1:4, 1:4], torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]))
