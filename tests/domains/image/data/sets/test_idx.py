"""The idx format: headers, compressed copies, names of classes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import image_layouts as layouts
import numpy as np
import pytest

from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.sets.idx import read_idx
from polydiff.domains.image.data.source import Source, open_source
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Few examples")
GOOD = layouts.idx(layouts.pictures(3, (4, 5)))


def opened(path: Path, **keys: Any) -> Source:
    return open_source(ImageData(path=path, size=8, channels=1, **keys))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-1], "its header states 60 bytes.*but it holds 59"),
        (GOOD + b"x", "but it holds more"),
        (GOOD[:4] + b"\x7f\xff\xff\xff" + GOOD[8:], "which is not read"),
        (GOOD[:4] + b"\x00\x0f\xff\xff" + GOOD[8:], "but it holds 60"),
        (GOOD[:10], "does not begin as an idx file"),
        (b"\x00\x00\x0d" + GOOD[3:], "does not begin as an idx file"),
        (GOOD[:8] + bytes(4) + GOOD[12:], "which is not read"),
        (b"", "does not begin as an idx file"),
    ],
    ids=["short", "long", "many", "more rows", "header alone", "another type", "no pixels", "empty"],
)
def test_a_header_that_does_not_fit_is_an_error(content: bytes, message: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("train-images-idx3-ubyte" + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UserError, match=message):
        read_idx(path, 3)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(GOOD)[:-20], b"not gzip", gzip.compress(GOOD)[:20] + b"\xff" * 40],
    ids=["cut off", "not gzip", "torn"],
)
def test_a_damaged_compressed_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read|but it holds"):
        read_idx(path, 3)


def test_of_a_file_and_its_compressed_copy_one_is_read(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "data")
    for file in list(path.iterdir()):
        (path / f"{file.name}.gz").write_bytes(b"not read")
    source = opened(path)
    assert source.quarantine
    assert (source.quarantine.used, source.quarantine.ignored) == (36, {})


def test_another_number_of_labels_is_an_error(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "data")
    (path / "t10k-labels-idx1-ubyte").write_bytes(layouts.idx(np.zeros(11, np.uint8)))
    with pytest.raises(UserError, match=r"12 images, but .* has 11 labels"):
        opened(path)


def test_images_without_labels_have_no_classes(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "data")
    for file in path.glob("*labels*"):
        file.unlink()
    assert opened(path).names == ()


def test_a_file_of_names_names_the_classes(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "fashion")
    assert opened(path).names == ("T-shirt/top", "Trouser", "Pullover")
    (path / "classes.txt").write_text("o\nki\nsu\n", encoding="utf-8")
    assert opened(path).names == ("o", "ki", "su")
    (path / "classes.txt").write_text("o\nki\n", encoding="utf-8")
    with pytest.raises(UserError, match="A label is 2, but there are names of 2 classes"):
        opened(path)


def test_several_sets_in_one_folder_are_an_error(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "data")
    for file in list(path.iterdir()):
        (path / f"emnist-letters-{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=r"several sets: .*emnist-letters"):
        opened(path)


def test_one_split_alone_is_split_anew(tmp_path: Path) -> None:
    path = layouts.mnist(tmp_path / "data")
    for file in path.glob("t10k*"):
        file.unlink()
    source = opened(path)
    assert sum(map(len, source.splits.values())) == 24
    assert len(source.splits["test"]) >= 3
