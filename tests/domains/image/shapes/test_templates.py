"""Tests of `polydiff.domains.image.shapes.templates`."""

from __future__ import annotations

import torch

from polydiff.domains.image.shapes.templates import PHASES, WINDOW, templates


def test_the_centroid_of_each_template_is_at_its_phase() -> None:
    known = templates()
    pictures = known.pictures.view(-1, WINDOW, WINDOW)
    steps = torch.arange(WINDOW) - WINDOW // 2
    mass = pictures.sum((1, 2))
    for found, dimension in (
        ((pictures.sum(1) * steps).sum(1) / mass, 0),
        ((pictures.sum(2) * steps).sum(1) / mass, 1),
    ):
        phases = torch.tensor(PHASES)
        assert (found[:, None] - phases).abs().amin(1).max() < 0.13, dimension
        assert found.abs().max() < max(PHASES) + 0.13


def test_all_templates_lie_in_their_window() -> None:
    pictures = templates().pictures.view(-1, WINDOW, WINDOW)
    border = torch.cat([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], 1)
    assert border.max() < 0.05  # of the most blurred ones
