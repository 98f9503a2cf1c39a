"""Data sets of Hugging Face: what `datasets` writes, .parquet files, their columns, and damage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import image_layouts as layouts
import pytest

from polydiff.core.conditions import Classes, Number, Text
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.source import Source, open_source
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Few examples")
N = layouts.TRAINED


def opened(path: Path, **keys: Any) -> Source:
    return open_source(ImageData(path=path, size=8, **keys))


def table(path: Path, rows: dict[str, Any] | None = None, **further: Any) -> Path:
    """Write a .parquet file."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**(rows or layouts.rows_of_pictures(N, 0)), **further}), path)
    return path


def test_captions_become_a_condition_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    path = layouts.saved_to_disk(tmp_path / "data")
    image = Image(ImageConfig(data=ImageData(path=path, size=16)))
    assert image.conditions == {"label": Classes(3), "text": Text(7, 4)}
    train = image.source.splits["train"]
    assert [row["text"] for row in train.values][:3] == ["a cat on grass", "a dog on grass", "a bird on grass"]
    assert (train.images[5].permute(1, 2, 0).numpy() == layouts.pictures(N, (16, 16, 3))[5]).all()


def test_one_split_and_a_file_of_it_are_read_with_the_names_of_classes(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    path = layouts.saved_to_disk(tmp_path / "data") / "train"
    file = next(path.glob("*.arrow"))
    for one in (path, file):
        source = opened(one)
        assert source.names == ("cat", "dog", "bird")
        assert sum(map(len, source.splits.values())) == N


def test_a_parquet_file_of_datasets_names_its_classes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(layouts.rows_of_pictures(N, 0), features=layouts.features())
    rows.to_parquet(str(tmp_path / "a.parquet"))
    assert opened(tmp_path / "a.parquet").names == ("cat", "dog", "bird")


def test_columns_of_plain_values_can_be_conditions(tmp_path: Path) -> None:
    texts = [[f"first {k % 2}", "second"] for k in range(N)]
    columns = {"year": [1990 + k for k in range(N)], "who": ["a", "b"] * (N // 2), "box": [[1.0, 2.0]] * N}
    rows = {name: cells for name, cells in layouts.rows_of_pictures(N, 0).items() if name != "caption"}
    path = table(tmp_path / "a.parquet", rows, captions=texts, **columns)
    image = Image(ImageConfig(data=ImageData(path=path, size=8, conditions=("year", "who"))))
    assert image.conditions == {"label": Classes(3), "year": Number(), "who": Classes(2), "text": Text(4, 2)}
    with pytest.raises(UserError, match="Unknown column 'box'"):
        opened(path, conditions=("box",))


def test_a_column_split_precedes_the_name_of_the_file(tmp_path: Path) -> None:
    stated = ["test" if k < 5 else "" for k in range(N)]
    source = opened(table(tmp_path / "train-0.parquet", split=stated))
    assert source.splits["test"].names == [f"train-0.parquet[{k}]" for k in range(5)]
    with pytest.warns(UserWarning, match=r"train-0.parquet\[0\]: split=fold is not one of train"):
        source = opened(table(tmp_path / "train-0.parquet", split=["fold", *stated[1:]]))
    assert source.splits["test"].names == [f"train-0.parquet[{k}]" for k in range(1, 5)]


def test_missing_labels_and_captions_are_missing(tmp_path: Path) -> None:
    rows = layouts.rows_of_pictures(N, 0)
    rows["caption"][3] = None
    source = opened(table(tmp_path / "a.parquet", rows))
    assert source.quarantine
    assert source.quarantine.notes["captioned"] == "23 have a caption, 1 have none"


def test_images_without_bytes_and_damaged_ones_are_excluded(tmp_path: Path) -> None:
    rows = layouts.rows_of_pictures(N, 0)
    rows["image"][3] = {"bytes": None, "path": "/home/a.png"}
    with pytest.warns(
        UserWarning, match=r"a.parquet\[3\]: ValueError: the data set holds only the path of its file, /home"
    ):
        source = opened(table(tmp_path / "a.parquet", rows))
    rows["image"][3] = {"bytes": b"torn", "path": None}
    with pytest.warns(UserWarning, match=r"a.parquet\[3\]: OSError: its beginning is that of no image"):
        source = opened(table(tmp_path / "a.parquet", rows))
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (N, N - 1)


def test_a_file_without_images_is_an_error_that_names_its_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"name": ["a", "b"], "size": [1, 2]})
    with pytest.raises(UserError, match=r"no column of images .*name \(string\), size \(int64\)"):
        opened(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_damaged_file_is_an_error(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / f"a{suffix}").write_bytes(b"torn" * 40)
    with pytest.raises(UserError, match="cannot be read as a file of Apache Arrow"):
        opened(tmp_path / f"a{suffix}")


def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    path = layouts.saved_to_disk(tmp_path / "data")
    file = next((path / "train").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(UserError, match="cannot be read as a file of Apache Arrow"):
        opened(path)


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "gone.arrow", 3])
def test_a_state_names_files_beside_it_alone(name: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.arrow").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(UserError, match=r"does not list \.arrow files"):
        opened(tmp_path / "data")


@pytest.mark.parametrize("names", [["../x"], "train", [3], []])
def test_a_list_of_splits_names_folders_with_a_state(names: Any, tmp_path: Path) -> None:
    for folder in ("x", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "x" / "state.json").write_text("{}")
    (tmp_path / "data" / "dataset_dict.json").write_text(json.dumps({"splits": names}))
    with pytest.raises(UserError, match="does not list folders of splits"):
        opened(tmp_path / "data")


def test_without_pyarrow_the_message_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'needs pyarrow: pip install "polydiff\[arrow\]"'):
        opened(tmp_path / "a.parquet")
