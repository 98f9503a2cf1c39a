"""Digits, splits, crops and the codec."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.core.streams import stream, streams
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data import source as source_module
from polydiff.domains.image.data.source import Split, augment, digits, stratified_split
from polydiff.support.errors import UserError


def test_digits_are_split_once_and_for_all_and_evenly() -> None:
    from sklearn.datasets import load_digits

    source, again = digits(), digits()
    train, test = source.splits["train"], source.splits["test"]
    assert torch.equal(train.images, again.splits["train"].images)  # type: ignore[arg-type]
    total = torch.cat([train.labels, test.labels]).bincount()
    assert total.tolist() == torch.tensor(load_digits().target).bincount().tolist()
    assert ((test.labels.bincount() / total - 0.2).abs() < 0.005).all()
    rows = torch.cat([train.images, test.images])  # type: ignore[list-item]
    assert len(rows.flatten(1).unique(dim=0)) == len(rows), "the splits share an image"
    levels = (rows.float() * 16 / 255).round()
    assert set(levels.unique().tolist()) == set(range(17))
    assert ((levels * 255 / 16).round() == rows).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.floats(0.1, 0.9))
def test_each_class_gives_its_share_to_the_test_split(labels: list[int], share: float) -> None:
    held_out = stratified_split(torch.tensor(labels), share)
    for label in set(labels):
        members = torch.tensor(labels) == label
        assert int(held_out[members].sum()) == round(share * int(members.sum()))


def test_digits_of_another_size_keep_their_brightness() -> None:
    small, large = digits().splits["test"], digits(size=32, channels=3).splits["test"]
    assert large.images[0].shape == (3, 32, 32)
    a, b = (split.centred(range(50)).float().mean() for split in (small, large))
    assert float(b) == pytest.approx(float(a), rel=0.05)


def test_random_crops_reach_every_place_and_stay_inside() -> None:
    image = torch.arange(8 * 5, dtype=torch.uint8).reshape(1, 8, 5)
    data = ImageData(name="folder", path="unused", size=5, crop="random")
    corners = [int(augment(image, data, g)[0, 0, 0]) for g in streams(0, "crop", range(200))]
    assert set(corners) == {0, 5, 10, 15}
    first, second = (augment(image, data, stream(0, "crop", 3)) for _ in range(2))
    assert torch.equal(first, second)


def test_half_of_the_images_are_mirrored() -> None:
    image = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    plain = ImageData(name="folder", path="unused", size=4).model_copy(update={"size": 2})
    flipping = plain.model_copy(update={"flip": True})
    seen = [augment(image, flipping, g).flatten().tolist() for g in streams(0, "flip", range(400))]
    assert seen.count([2, 1, 4, 3]) + seen.count([1, 2, 3, 4]) == 400
    assert abs(seen.count([2, 1, 4, 3]) - 200) < 50  # five standard deviations
    assert torch.equal(augment(image, plain, stream(0, "flip", 0)), image)


def test_a_digest_depends_on_every_image_and_label() -> None:
    images, labels = torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 0])
    digest = Split(images, labels, 4).digest()
    assert Split(list(images), labels, 4).digest() == digest
    changed = images.clone()
    changed[2, 0, 3, 3] = 1
    assert Split(changed, labels, 4).digest() != digest
    assert Split(images, torch.tensor([0, 1, 1]), 4).digest() != digest


def test_parts_are_all_images_in_order_and_each_part_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    split = digits().splits["test"]
    monkeypatch.setattr(source_module, "PART", 64 * 7 + 63)
    parts = list(split.parts(range(3, 30)))
    assert [len(part) for part in parts] == [7, 7, 7, 6]
    assert torch.equal(torch.cat(parts), split.centred(range(3, 30)))
    monkeypatch.setattr(source_module, "PART", 1)
    assert [len(part) for part in split.parts([4, 2])] == [1, 1]


def test_digits_of_a_size_that_no_memory_has_are_an_error_that_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "host_memory", lambda: 100.0)
    with pytest.raises(UserError, match=r"data\.size=256: the digits take 1,348 MiB .* and 100 MiB of memory"):
        digits(256)
    assert len(digits(32).splits["train"].labels) > 1000
