"""The image domain with digits, and with a folder of photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.domain import Image


@pytest.fixture(scope="session")
def image() -> Image:
    return Image(ImageConfig())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Image:
    root = tmp_path_factory.mktemp("photos")
    g = np.random.default_rng(0)
    for i in range(80):
        small = g.integers(0, 200, (4, 4, 3), dtype=np.uint8)
        Pillow.fromarray(small).resize((20, 16)).save(root / f"{i}.png")
    return Image(ImageConfig(data=ImageData(name="folder", path=root, size=16, test_share=0.4)))
