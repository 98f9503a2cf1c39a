"""Tests of `polydiff.domains.image.measurements`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Batch, Euclidean, Measurement
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.measurements import examples_for, measurement, read_measured
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_measurement

CODEC = Standardise((0.2, -0.3, 0.5), 0.6)


def pictures(side: int = 12, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, channels, side, side), dtype=torch.uint8, generator=generator)


def measured(text: str, side: int = 12, channels: int = 3) -> tuple[Batch, Measurement]:
    codec = Standardise(CODEC.mean[:channels], CODEC.std)
    x = codec.encode(pictures(side, channels))
    batch = Batch(x, Euclidean(2, tuple(x.shape[1:])))
    return batch, measurement(text, batch, codec, ImageData(size=side, channels=channels))  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [4, 5, 12])
@pytest.mark.parametrize("text", ["grey", "blur=0.1", "blur=1.2", "mean=2", "mean=3", "mean=4", "gap=0,1:3,4"])
def test_every_measurement_is_linear_and_fits_its_adjoint(text: str, side: int) -> None:
    batch, operator = measured(text, side)
    check_measurement(operator, batch, text)
    assert operator.forward(batch.x).dtype == batch.x.dtype


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [4, 8, 32])
def test_the_examples_suit_every_model(channels: int, side: int) -> None:
    for text in examples_for(ImageData(size=side, channels=channels)):  # type: ignore[arg-type]
        check_measurement(measured(text, side, channels)[1], measured(text, side, channels)[0], text)


def test_grey_is_that_of_pillow_and_is_shown_grey() -> None:
    batch, operator = measured("grey")
    shown = CODEC.decode(operator.estimate(operator.forward(batch.x)))
    for image, grey in zip(pictures(), shown, strict=True):
        expected = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")).astype(int)
        assert np.abs(grey[0].numpy() - expected).max() <= 1
        assert torch.equal(grey[0], grey[1])


def test_a_blur_is_a_gaussian_and_keeps_the_light() -> None:
    batch, operator = measured("blur=1.2", 24)
    point = torch.zeros_like(batch.x)
    point[:, 0, 12, 12] = 1
    spread = operator.forward(point)[0, 0]
    places = torch.arange(24.0) - 12
    assert spread.sum().item() == pytest.approx(1, abs=1e-6)
    assert ((spread.sum(0) * places**2).sum() ** 0.5).item() == pytest.approx(1.2, rel=0.03)  # cut at 3 of its std
    ones = torch.ones_like(batch.x)
    assert_close(operator.forward(ones), ones)


def test_noise_is_stated_in_shares_of_the_range_of_a_pixel() -> None:
    low, high = (CODEC.encode(torch.full((1, 3, 4, 4), value, dtype=torch.uint8)) for value in (0, 255))
    assert_close((high - low)[0, 0, 0, 0].item(), measured("mean=2")[1].unit)


def test_a_mask_marks_the_pixels_that_are_not_measured(tmp_path: Path) -> None:
    drawn = np.zeros((12, 12), np.uint8)
    drawn[2:4, 5:9] = 255
    Image.fromarray(drawn).save(tmp_path / "white.png")
    batch, by_file = measured(f"mask={tmp_path / 'white.png'}")
    _, by_corners = measured("gap=5,2:9,4")
    assert_close(by_file.forward(batch.x), by_corners.forward(batch.x))
    Image.fromarray(drawn[:6]).save(tmp_path / "small.png")
    with pytest.raises(UserError, match=r"^mask=.* but the model's images have 12 x 12"):
        measured(f"mask={tmp_path / 'small.png'}")
    with pytest.raises(UserError, match="There is no file"):
        measured(f"mask={tmp_path / 'none.png'}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gray", "Did you mean 'grey'?"),
        ("blur=5", "for images of 12 pixels, is a number from 0.1 to 4"),
        ("blur=0", "from 0.1 to 4"),
        ("mean=13", "a whole number from 2 to 12"),
        ("mean=1", "a whole number from 2 to 12"),
        ("mean=2.5", "a whole number"),
        ("gap=2,2", "is not a part of an image"),
        ("gap=2,2:13,6", "exceeds the model's images"),
        ("gap=0,0:12,12", "nothing would be left to measure"),
    ],
)
def test_what_cannot_be_measured_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        measured(text)
    assert sentence in str(caught.value)


def test_grey_images_have_no_grey_to_measure() -> None:
    with pytest.raises(UserError, match="grey already"):
        measured("grey", channels=1)


@pytest.mark.parametrize("side", [12, 13])
@pytest.mark.parametrize("text", ["grey", "blur=1.2", "mean=2", "mean=5", "gap=0,1:3,4", "mask=white.png"])
def test_a_measurement_that_was_saved_is_read_as_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, side: int
) -> None:
    """But for the rounding to 256 levels, of half a level."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray((255 * np.eye(side)).astype(np.uint8)).save("white.png")
    batch, operator = measured(text, side)
    y = operator.forward(batch.x)
    if text == "grey":
        pixels = 127.5 * (1 + y * CODEC.std + (torch.tensor([0.299, 0.587, 0.114]) * torch.tensor(CODEC.mean)).sum())
    elif text.startswith(("gap", "mask")):  # what the gap holds does not matter
        whole = operator.adjoint(y)
        pixels = 127.5 * (1 + whole * CODEC.std + CODEC.offset)
    else:
        pixels = 127.5 * (1 + y * CODEC.std + CODEC.offset)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, image in zip(paths, pixels.round().clamp(0, 255).to(torch.uint8), strict=True):
        Image.fromarray(image.movedim(0, -1).squeeze(-1).numpy()).save(path)
    blank, read = read_measured(text, paths, CODEC, ImageData(size=side, channels=3))
    assert blank.space == batch.space
    assert not blank.x.any()
    assert read.shape == y.shape
    assert (read - y).abs().max() <= 0.51 / 127.5 / CODEC.std


def test_a_picture_of_another_size_than_a_measurement_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(path)
    for text, size in (("mean=4", "3 x 3"), ("blur=1", "12 x 12"), ("grey", "12 x 12")):
        message = f"7 x 6 pixels, but {text} of the model's images, 12 x 12, has {size}"
        with pytest.raises(UserError, match=message):
            read_measured(text, [path], CODEC, ImageData(size=12, channels=3))
