"""Stanford Cars: labels, copies, columns of the names, and files of labels that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import image_layouts as layouts
import pytest

from polydiff.core.conditions import Classes, Number, Text
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.sets.cars import described
from polydiff.domains.image.data.source import Source, open_source
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Few examples")


def opened(path: Path, **keys: Any) -> Source:
    return open_source(ImageData(path=path, size=8, **keys))


@pytest.mark.parametrize(
    ("name", "brand", "model", "year"),
    [
        ("AM General Hummer SUV 2000", "AM General", "Hummer SUV", "2000"),
        ("Aston Martin V8 Vantage Coupe 2012", "Aston Martin", "V8 Vantage Coupe", "2012"),
        ("Land Rover Range Rover SUV 2012", "Land Rover", "Range Rover SUV", "2012"),
        ("Rolls-Royce Ghost Sedan 2012", "Rolls-Royce", "Ghost Sedan", "2012"),
        ("Mercedes-Benz 300-Class Convertible 1993", "Mercedes-Benz", "300-Class Convertible", "1993"),
        ("Chrysler 300 SRT-8 2010", "Chrysler", "300 SRT-8", "2010"),
        ("Eagle Talon Hatchback", "Eagle", "Talon Hatchback", None),
        ("Geo 1993", "Geo", None, "1993"),
    ],
)
def test_a_name_is_brand_model_and_year(name: str, brand: str, model: str | None, year: str | None) -> None:
    columns = described(name)
    assert (columns["label"], columns["title"], columns["brand"]) == (name, name, brand)
    assert (columns.get("model"), columns.get("year")) == (model, year)


def test_columns_of_the_names_become_conditions(tmp_path: Path) -> None:
    data = ImageData(
        path=layouts.cars(tmp_path / "c"), size=8, labels="none", conditions=("brand", "year"), captions="title"
    )
    image = Image(ImageConfig(data=data))
    assert image.conditions == {"brand": Classes(3), "year": Number(), "text": Text(13, 5)}
    rows = image.source.splits["train"].values
    assert rows[1] == {"brand": "Audi", "year": 2012.0, "text": "Audi R8 Coupe 2012"}


def test_held_out_pictures_without_labels_are_counted(tmp_path: Path) -> None:
    source = opened(layouts.cars(tmp_path / "c", test_labels=False))
    assert source.names == layouts.CARS
    assert source.splits["test"].labels.tolist() == [-1] * layouts.HELD_OUT
    assert source.quarantine
    assert "12 have no label; cars_test_annos_withlabels.mat has those of cars_test/" in source.quarantine.summary()


def test_of_nested_copies_one_is_read(tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "c")
    inner = path / "cars_test" / "cars_test"
    inner.mkdir()
    for file in list((path / "cars_test").glob("*.jpg")):
        (inner / file.name).write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match="12 copied into another folder"):
        source = opened(path)
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (36, 36)


def test_rows_without_a_picture_and_damaged_pictures_are_excluded(tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "c")
    (path / "cars_train" / "00003.jpg").write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"cars_train/00003.jpg: OSError: its beginning is that of no image"):
        source = opened(path)
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (36, 35)
    (path / "cars_train" / "00003.jpg").unlink()
    with pytest.warns(UserWarning, match=r"cars_train_annos.mat, row 3: there is no image cars_train/00003.jpg"):
        source = opened(path)
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (35, 35)


def test_both_folders_without_labels_are_splits_and_not_classes(tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "c")
    for file in (path / "devkit").iterdir():
        file.unlink()
    source = opened(path)
    assert source.names == ()
    assert [len(source.splits[side]) for side in ("train", "test")] == [24, 12]


def test_training_pictures_alone_are_split_anew(tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "c")
    for file in (path / "cars_test").iterdir():
        file.unlink()
    source = opened(path)
    assert sum(map(len, source.splits.values())) == 24
    assert len(source.splits["test"]) >= 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(400), "MATLAB 7.3.*'-v7'"),
        (b"x" * 600, "cannot be read as a file of MATLAB"),
        (b"", "cannot be read as a file of MATLAB"),
    ],
)
def test_labels_that_cannot_be_read_are_an_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "c")
    (path / "devkit" / "cars_train_annos.mat").write_bytes(content)
    with pytest.raises(UserError, match=message):
        opened(path)


def test_labels_of_another_form_are_an_error(tmp_path: Path) -> None:
    from scipy.io import savemat

    path = layouts.cars(tmp_path / "c")
    savemat(path / "devkit" / "cars_train_annos.mat", {"annotations": [1, 2, 3]})
    with pytest.raises(UserError, match="no `annotations` with fname"):
        opened(path)
