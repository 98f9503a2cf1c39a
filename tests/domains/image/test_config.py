"""Tests of `polydiff.domains.image.config`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from polydiff.config.merge import resolve
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.support.errors import UserError


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


@pytest.mark.parametrize(
    ("name", "key"),
    [("shapes", "path"), *((name, key) for name in ("digits", "shapes") for key in ("captions", "conditions"))],
)
def test_keys_of_folders_are_an_error_with_other_data(name: str, key: str) -> None:
    value = ("a",) if key == "conditions" else "a"
    with pytest.raises(ValidationError, match=rf"data\.name={name} has data .* leave out data\.{key}"):
        ImageData.model_validate({"name": name, key: value})


@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_keys_of_captions_are_an_error_where_the_vocabulary_is_fixed_or_there_is_none(name: str) -> None:
    message = rf"data\.name={name} has data .* leave out data\.text\.tokens, data\.text\.longest"
    with pytest.raises(UserError, match=message):
        resolve("image", values={"data.name": name, "data.text.tokens": "bpe", "data.text.longest": 9})
    resolve("image", values={"data.name": name, "data.text.tokens": "words"})


def test_a_list_with_a_wrong_item_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^data\.things\[0\]=4.*: should be 1, 2 or 3\.$"):
        resolve("image", values={"data.name": "shapes", "data.things": [4]})
