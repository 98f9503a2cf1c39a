"""numpy's files: shapes, ranges, keys, and files that cannot be read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import image_layouts as layouts
import numpy as np
import pytest

from polydiff.core.conditions import Classes, Number, Text
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.sets.arrays import pixels_in
from polydiff.domains.image.data.source import Source, open_source
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Few examples")
N = 30
COLOUR = layouts.pictures(N, (12, 10, 3))


def opened(path: Path, **keys: Any) -> Source:
    return open_source(ImageData(path=path, size=8, **keys))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (COLOUR[..., 0], COLOUR[..., :1]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (COLOUR[..., :1].transpose(0, 3, 1, 2), COLOUR[..., :1]),
        (COLOUR / 255, COLOUR),
        ((COLOUR / 255).astype(np.float32), COLOUR),
        (COLOUR.astype(np.int64), COLOUR),
        (COLOUR > 127, 255 * (COLOUR > 127)),
    ],
)
def test_shapes_and_ranges_give_the_same_pixels(array: Any, expected: Any) -> None:
    found, odd = pixels_in(array, "x")
    assert found.dtype == np.uint8
    assert (found == expected).all()
    assert odd == {}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (COLOUR.astype(np.float32), "from 0 to 255. Save images as uint8"),
        (COLOUR / 127.5 - 1, "from -1 to 1. Save images"),
        (COLOUR.astype(np.int16) - 3, "from -3 to 252"),
        (COLOUR[..., :2], "shape"),
        (COLOUR[0], None),
        (COLOUR[0, 0], "shape"),
        (COLOUR.astype(complex), "type complex128"),
        (np.zeros((3, 0, 4)), "shape"),
    ],
)
def test_other_shapes_and_ranges_are_an_error(array: Any, message: str | None) -> None:
    if message is None:  # (12, 10, 3) are twelve grey images
        assert pixels_in(array, "x")[0].shape == (12, 10, 3, 1)
        return
    with pytest.raises(UserError, match=message):
        pixels_in(array, "x")


def test_an_image_that_is_not_finite_is_excluded_alone(tmp_path: Path) -> None:
    images = COLOUR / 255
    images[3, 0, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", x=images)
    with pytest.warns(UserWarning, match=r"images\[3\]: it has numbers that are not finite"):
        source = opened(tmp_path / "a.npz")
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (N, N - 1)


def test_transparent_arrays_are_put_on_white(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((N, 8, 8, 4), np.uint8))
    assert (opened(tmp_path / "a.npz").splits["train"].centred([0]) == 255).all()


def test_keys_of_splits_stand_before_or_after(tmp_path: Path) -> None:
    labels = np.arange(N)[:, None] % 3
    np.savez(tmp_path / "a.npz", train_images=COLOUR, train_labels=labels, val_images=COLOUR[:4], val_labels=labels[:4])
    with pytest.warns(UserWarning, match="4 held-out images have the same pixels"):
        source = opened(tmp_path / "a.npz")
    assert [len(source.splits[side]) for side in ("train", "test")] == [N, 4]
    assert source.names == ("0", "1", "2")


def test_samples_that_polydiff_wrote_are_a_data_set(tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", arr_0=COLOUR, arr_1=np.arange(N) % 2)
    assert opened(tmp_path / "samples.npz").names == ("0", "1")


def test_other_arrays_are_columns_and_class_names_name_classes(tmp_path: Path) -> None:
    texts = np.array([f"a {'red' if k % 2 else 'blue'} square" for k in range(N)])
    columns = {"caption": texts, "year": 1990.0 + np.arange(N), "who": np.array([f"w{k % 3}" for k in range(N)])}
    np.savez(tmp_path / "a.npz", x=COLOUR, y=np.arange(N) % 2, class_names=np.array(["no", "yes"]), **columns)
    image = Image(ImageConfig(data=ImageData(path=tmp_path / "a.npz", size=8, conditions=("year", "who"))))
    assert image.source.names == ("no", "yes")
    assert image.conditions == {"label": Classes(2), "year": Number(), "who": Classes(3), "text": Text(5, 3)}


def test_an_array_split_states_the_splits(tmp_path: Path) -> None:
    stated = np.array(["test" if k < 5 else "train" for k in range(N)])
    np.savez(tmp_path / "a.npz", x=COLOUR, split=stated)
    source = opened(tmp_path / "a.npz")
    assert source.splits["test"].names == [f"images[{k}]" for k in range(5)]
    stated[0] = "fold"
    np.savez(tmp_path / "a.npz", x=COLOUR, split=stated)
    with pytest.warns(UserWarning, match=r"images\[0\]: split=fold is not one of train"):
        source = opened(tmp_path / "a.npz")
    assert source.splits["test"].names == [f"images[{k}]" for k in range(1, 5)]


def test_a_folder_of_arrays_is_a_data_set(tmp_path: Path) -> None:
    for name, array in (
        ("x_train", COLOUR),
        ("y_train", np.arange(N) % 2),
        ("x_test", 255 - COLOUR[:6]),
        ("y_test", np.arange(6) % 2),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    source = opened(tmp_path)
    assert [len(source.splits[side]) for side in ("train", "test")] == [N, 6]
    assert source.names == ("0", "1")


def npy(array: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **how)
    return buffer.getvalue()


BAD: dict[str, bytes] = {
    "objects": npy(np.array([{}, {}], dtype=object), allow_pickle=True),
    "cut off": npy(COLOUR)[:-5],
    "a shape of too many": npy(COLOUR).replace(b"(30, 12, 10, 3), }", b"(99, 99, 99, 3), }"),
    "no array": b"x" * 200,
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_that_cannot_be_read_are_an_error(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(BAD[name])
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", BAD[name])
    with pytest.raises(UserError, match=r"a\.np[yz].* cannot be read as an array"):
        opened(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", npy(COLOUR)])
def test_a_file_that_is_no_archive_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read as an archive of arrays"):
        opened(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures_of": COLOUR}, "holds pictures_of, but no images"),
        ({"x": COLOUR, "y": np.arange(5)}, r"y is int64 \(5,\), not the class of each of 30 images"),
        ({"x": COLOUR, "y": np.eye(N)}, "not the class of each"),
        ({"x": COLOUR[:1]}, "holds 1 image;"),
        ({}, "holds nothing, but no images"),
    ],
)
def test_an_archive_of_another_form_is_an_error(arrays: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "a.npz")
