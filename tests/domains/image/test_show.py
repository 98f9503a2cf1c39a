"""Tests of `polydiff.domains.image.show`."""

from __future__ import annotations

import base64
import html
import io
import re

import numpy as np
import pytest
import torch
from domain_cases import noise
from PIL import Image as Pillow

from polydiff.contract.domain import Samples
from polydiff.domains.image.domain import Image
from polydiff.domains.image.show import HOT, LONGEST, PALE, STRONGEST, WIDEST, show, with_weights


def pictures(page: str) -> list[np.ndarray]:
    """The pixels of each image of a fragment."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.array(Pillow.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def widths(page: str) -> set[int]:
    return {int(width) for width in re.findall(r'width="(\d+)"', page)}


def captions(page: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<figcaption[^>]*>([^<]*)</figcaption>", page)]


def test_the_fragment_holds_every_image_above_its_caption_and_fetches_nothing(image: Image) -> None:
    samples = image.examples("test", 16)
    page = image.show(samples)
    assert "http" not in page
    assert len(page) < 30_000
    for picture, example in zip(pictures(page), samples.examples, strict=True):
        assert (picture == example[0].numpy()).all()
    assert samples.cond is not None
    assert captions(page) == [row["label"] for row in image.describe(samples.cond)]
    assert "pixelated" in page  # 8 pixels are enlarged sharply
    assert widths(page) == {64}
    assert captions(image.show(Samples(samples.examples))) == []


def test_colours_and_sides_are_kept() -> None:
    picture = torch.arange(3 * 4 * 6, dtype=torch.uint8).reshape(3, 4, 6)
    page = show([picture], [""])
    assert (pictures(page)[0] == picture.permute(1, 2, 0).numpy()).all()
    assert 'width="64" height="43"' in page


def test_a_long_caption_is_whole_and_safe_and_gets_a_wider_cell() -> None:
    text = 'a <b>large</b> red circle & "a small" cross in the top left corner'
    dark = torch.zeros(3, 8, 8, dtype=torch.uint8)
    page = show([dark, dark], [text, "7"])
    assert captions(page) == [text, "7"]
    assert "<b>" not in page
    assert f'title="{html.escape(text)}"' in page
    assert widths(page) == {96}
    endless = "word " * 200
    (shown,) = captions(show([dark], [endless]))
    assert (len(shown) <= LONGEST, shown[-1]) == (True, "\N{HORIZONTAL ELLIPSIS}")
    assert f'title="{endless}"' in show([dark], [endless])


@pytest.mark.parametrize(("side", "width", "sharp"), [(8, 64, True), (64, 64, False), (100, 100, False)])
def test_images_are_enlarged_sharply_and_never_reduced_below_the_page(side: int, width: int, sharp: bool) -> None:
    page = show([torch.zeros(1, side, side, dtype=torch.uint8)], [""])
    assert widths(page) == {width}
    assert ("pixelated" in page) == sharp
    assert widths(show([torch.zeros(1, 600, 600, dtype=torch.uint8)], [""])) == {WIDEST}


def test_a_page_of_many_images_stays_small(photos: Image) -> None:
    page = photos.show(noise(photos, 200))
    assert len(pictures(page)) == 64
    assert len(page) < 400_000
    assert photos.show(Samples([])) == "<p>No images.</p>"


def test_weights_are_red_where_they_are_one_and_leave_the_rest_pale_grey() -> None:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    image[:, :2] = 255
    (drawn,) = pictures(show([with_weights(image, torch.tensor([[1.0, 0.0], [0.0, 0.5]]))], ["red"]))
    pale = 255 - PALE * 255
    hot = np.array(HOT)
    assert np.abs(drawn[0, 0] - (255 + STRONGEST * (hot - 255.0))).max() <= 1
    assert drawn[0, 3].tolist() == [255, 255, 255]
    assert np.abs(drawn[3, 0] - pale).max() <= 1
    assert np.abs(drawn[3, 3] - (pale + 0.5 * STRONGEST * (hot - pale))).max() <= 1
