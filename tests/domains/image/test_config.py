"""Tests of `polydiff.domains.image.config`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from polydiff.domains.image.config import ImageConfig, ImageData


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "folder"}, "needs data.path"),
        ({"flip": True}, "mirrored"),
        ({"crop": "random"}, "cropped"),
        ({"szie": 8}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_raise_an_error(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageData(**values)


def test_size_and_channels_follow_the_kind_of_data_unless_given() -> None:
    digit, photo = ImageData(), ImageData(name="folder", path="x")
    assert (digit.side, digit.planes, photo.side, photo.planes) == (8, 1, 32, 3)
    assert ImageData(path="x") == photo
    assert ImageData(size=16, channels=3).side == 16
    assert ImageConfig().data == digit
