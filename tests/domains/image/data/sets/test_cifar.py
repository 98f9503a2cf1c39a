"""CIFAR-10 and CIFAR-100: records, names of classes, the coarse class, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import image_layouts as layouts
import numpy as np
import pytest

from polydiff.core.conditions import Classes
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.source import Source, open_source
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Few examples")


def opened(path: Path, **keys: Any) -> Source:
    return open_source(ImageData(path=path, size=8, **keys))


@pytest.mark.parametrize("make", [layouts.cifar100_binary, layouts.cifar100_python])
def test_the_coarse_class_can_be_a_condition(make: Any, tmp_path: Path) -> None:
    data = ImageData(path=make(tmp_path / "data"), size=8, conditions=("coarse",))
    image = Image(ImageConfig(data=data))
    assert image.conditions == {"label": Classes(3), "coarse": Classes(2)}
    part = image.source.splits["train"]
    second = "fish"
    first = "mammals" if make is layouts.cifar100_python else "aquatic_mammals"
    assert [row["coarse"] for row in part.values] == [(first, second)[k % 2] for k in range(24)]
    assert part.labels.tolist() == [k % 3 for k in range(24)]


def test_a_record_that_is_cut_off_is_excluded(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    file = path / "data_batch_1.bin"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"data_batch_1.bin\[11\]: the file ends after 2973 of its 3073 bytes"):
        source = opened(path)
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (36, 35)


def test_a_label_without_a_name_is_excluded(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    file = path / "test_batch.bin"
    file.write_bytes(b"\x07" + file.read_bytes()[1:])
    with pytest.warns(UserWarning, match=r"test_batch.bin\[0\]: its label is 7, but there are 3 classes"):
        source = opened(path)
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (36, 35)


def test_classes_are_numbers_where_no_file_names_them(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    (path / "batches.meta.txt").unlink()
    assert opened(path).names == ("0", "1", "2")


def test_missing_training_files_are_noted_and_other_files_counted(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    (path / "readme.html").write_text("<p>")
    (path / "more.dat").write_text("x")
    with pytest.warns(UserWarning, match=r"Ignored in .*: 1 \.dat"):
        source = opened(path)
    assert source.quarantine
    assert source.quarantine.notes["files"] == "2 of the 5 training files are there"
    assert source.quarantine.ignored == {".dat": 1}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"data": np.zeros((2, 3072), np.uint8)}, "no list `labels`"),
        ({"data": np.zeros((2, 3071), np.uint8), "labels": [0, 1]}, "not an array uint8"),
        ({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}, "not an array uint8"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1]}, "a row for each label"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, "x"]}, "not whole numbers"),
        ([1, 2], "not the dict"),
    ],
)
def test_a_batch_of_another_form_is_an_error(batch: Any, message: str, tmp_path: Path) -> None:
    path = layouts.cifar10_python(tmp_path / "data")
    (path / "data_batch_1").write_bytes(layouts.by_pickle(2)(batch))
    with pytest.raises(UserError, match=message):
        opened(path)


def test_labels_none_leaves_classes_out(tmp_path: Path) -> None:
    assert opened(layouts.cifar10_binary(tmp_path / "data"), labels="none").names == ()


def test_classes_are_those_of_training_in_their_order(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    (path / "batches.meta.txt").write_text("zebra\nape\nmole\nunused\n")
    assert opened(path).names == ("zebra", "ape", "mole")


def test_a_held_out_class_that_training_lacks_is_an_error_unless_splits_are_merged(tmp_path: Path) -> None:
    path = layouts.cifar10_binary(tmp_path / "data")
    (path / "batches.meta.txt").write_text("a\nb\nc\nd\n")
    file = path / "test_batch.bin"
    file.write_bytes(b"\x03" + file.read_bytes()[1:])
    with pytest.raises(UserError, match=r"no image of d\. .*data\.merge=true"):
        opened(path)
    assert opened(path, merge=True).names == ("a", "b", "c", "d")
