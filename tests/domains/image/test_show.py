"""Tests of `polydiff.domains.image.show`."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from domain_cases import noise
from PIL import Image as Pillow

from polydiff.contract.domain import Samples
from polydiff.domains.image.domain import Image


def test_the_picture_holds_every_image_enlarged_and_fetches_nothing(image: Image) -> None:
    samples = image.examples("test", 16)
    html = image.show(samples)
    assert "http" not in html
    assert 'src="data:image/png;base64,' in html
    assert len(html) < 30_000
    found = re.search(r'base64,([^"]+)', html)
    assert found
    picture = np.array(Pillow.open(io.BytesIO(base64.b64decode(found[1]))))
    opaque = picture[..., 3] == 255
    for i, example in enumerate(samples.examples):
        row, column = divmod(i, 8)
        top, left = row * (64 + 14 + 6) + 14, column * (64 + 6)
        cell = picture[top : top + 64, left : left + 64]
        assert (cell[::8, ::8, 0] == example[0].numpy()).all()
        assert (cell[7::8, 7::8, 1] == example[0].numpy()).all()
        assert opaque[top : top + 64, left : left + 64].all()
        assert picture[top - 14 : top, left : left + 64, 3].any(), "no caption"


def test_a_picture_of_many_images_stays_small(photos: Image) -> None:
    html = photos.show(noise(photos, 200))
    assert len(html) < 400_000
    assert photos.show(Samples([])) == "<p>No images.</p>"
