"""Classes and captions of new images come together; an unlimited data set is not drawn whole to learn them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.domains.image.shapes.dataset import Shapes


def test_a_class_and_a_caption_of_a_new_image_are_those_of_one_example(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(12):
            Image.new("RGB", (8, 8), (20 * i, 0, 9)).save(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.txt").write_text(f"a {name} of kind {i}")
    config = resolve("image", values={"data.path": tmp_path, "data.size": 8, "data.test_share": 0.3}).config
    domain = build_domain(config)
    assert set(domain.conditions) == {"label", "text"}
    for requested in ({}, {"label": "dog"}):
        found = domain.describe(domain.blank(streams(0, "new", range(50)), requested)[1])
        assert all(f"a {row['label']} of" in row["text"] for row in found)
    assert {row["label"] for row in found} == {"dog"}
    again = build_domain(config, json.loads(json.dumps(domain.statistics)))
    same = again.describe(again.blank(streams(0, "new", range(50)), {"label": "dog"})[1])
    assert same == found


def test_scenes_are_not_drawn_to_measure_their_only_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = Shapes.draw

    def counting(self: Shapes, index: int, *more):
        drawn.append(index)
        return draw(self, index, *more)

    monkeypatch.setattr(Shapes, "draw", counting)
    domain = build_domain(resolve("image", values={"data.name": "shapes"}).config)
    assert set(domain.conditions) == {"text"}
    assert len(drawn) < domain.size("train") / 5
