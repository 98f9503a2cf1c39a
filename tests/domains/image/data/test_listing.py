"""Captions and columns of images: every layout gives the same conditions, and each file is accounted for."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from polydiff.core.conditions import Classes, Number, Text, Tokens
from polydiff.core.streams import streams
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.folder import folder
from polydiff.domains.image.data.source import Source
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError

N = 20
CAPTIONS = [f"a {('red', 'blue')[i % 2]} picture, number {i % 5}" for i in range(N)]


def pixels(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)


def png(i: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels(i)).save(buffer, "PNG")
    return buffer.getvalue()


def files(root: Path, below: str = "") -> None:
    (root / below).mkdir(parents=True, exist_ok=True)
    for i in range(N):
        (root / below / f"{i:02d}.png").write_bytes(png(i))


def jsonl(root: Path) -> Path:
    files(root)
    rows = [json.dumps({"file_name": f"{i:02d}.png", "text": text}) for i, text in enumerate(CAPTIONS)]
    (root / "metadata.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return root


def table(root: Path, below: str = "") -> Path:
    files(root, below)
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        writer.writerows([f"{below}{i:02d}.png", text] for i, text in enumerate(CAPTIONS))
    return root


def beside(root: Path) -> Path:
    files(root)
    for i, text in enumerate(CAPTIONS):
        (root / f"{i:02d}.txt").write_text(text + "\n", encoding="utf-8")
    return root


def archive(root: Path) -> Path:
    root.mkdir()
    with tarfile.open(root / "shard-000.tar", "w") as tar:
        for i, text in enumerate(CAPTIONS):
            for suffix, data in (("png", png(i)), ("txt", text.encode())):
                info = tarfile.TarInfo(f"{i:02d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return root


LAYOUTS: list[Callable[[Path], Path]] = [
    jsonl,
    table,
    lambda root: table(root, "images/"),
    lambda root: table(root) / "metadata.csv",
    beside,
    archive,
    lambda root: archive(root) / "shard-000.tar",
]


def settings(path: Path, **keys: object) -> ImageData:
    return ImageData(path=path, size=8, **keys)  # type: ignore[arg-type]


def captions_of(source: Source) -> dict[bytes, object]:
    """The caption of each image, by its pixels."""
    parts = source.splits.values()
    pairs = [(x, v) for part in parts for x, v in zip(part.images, part.values, strict=True)]
    return {image.permute(1, 2, 0).contiguous().numpy().tobytes(): row.get("text") for image, row in pairs}


@pytest.mark.parametrize("layout", LAYOUTS, ids=["jsonl", "csv", "csv of a subfolder", "the csv", "txt", "tars", "tar"])
def test_captions_of_every_layout_belong_to_their_images(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    source = folder(settings(layout(tmp_path / "data")))
    assert captions_of(source) == {pixels(i).tobytes(): CAPTIONS[i] for i in range(N)}
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used, source.quarantine.ignored) == (N, N, {})
    assert source.quarantine.notes["captioned"] == "20 have a caption"
    field = source.fields["text"]
    assert field.kind == Text(len({w for t in CAPTIONS for w in t.replace(",", "").split()}) + 1, 5)


def test_a_captioned_folder_becomes_a_condition_of_batches_and_of_new_samples(tmp_path: Path) -> None:
    image = Image(ImageConfig(data=settings(jsonl(tmp_path / "data"))))
    assert set(image.conditions) == {"text"}
    cond = image.batch("test", [0, 1], streams(0, "augment", range(2))).cond
    assert cond is not None
    rows = image.source.splits["test"].values
    said = [" ".join(row["text"].replace(",", "").split()) for row in rows[:2]]
    assert [words["text"] for words in image.describe(cond)] == said
    again = Image(image.config, json.loads(json.dumps(image.statistics)))
    _, requested = again.blank(streams(0, "blank", range(2)), {"text": "A blue picture"})
    assert requested is not None
    assert again.describe(requested) == [{"text": "a blue picture"}] * 2


def test_columns_become_conditions_of_their_types(tmp_path: Path) -> None:
    files(tmp_path)
    np.save(tmp_path / "v.npy", np.ones((2, 4), np.float32))
    rows = [
        {"file_name": f"{i:02d}.png", "label": "ab"[i % 2], "year": 1990 + i, "who": f"w{i % 3}", "clip": "v.npy"}
        for i in range(N)
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    image = Image(ImageConfig(data=settings(tmp_path, conditions=("year", "who", "clip"))))
    assert image.conditions == {"label": Classes(2), "year": Number(), "who": Classes(3), "clip": Tokens(4)}
    cond = image.batch("train", range(4), streams(0, "augment", range(4))).cond
    assert cond is not None
    assert cond["clip"].shape == (4, 2, 4)


def test_rows_and_images_without_partner_are_counted(tmp_path: Path) -> None:
    jsonl(tmp_path)
    lines = (tmp_path / "metadata.jsonl").read_text().splitlines()[1:]
    lines += [json.dumps({"file_name": "none.png", "text": "x"})]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match=r"metadata\.jsonl, line 20: there is no image none\.png"):
        source = folder(settings(tmp_path))
    assert source.quarantine
    assert (source.quarantine.found, source.quarantine.used) == (N, N)
    assert (source.quarantine.rows, len(source.quarantine.bad_rows)) == (N, 1)
    assert source.quarantine.notes["captioned"] == "19 have a caption, 1 have none"
    assert captions_of(source)[pixels(0).tobytes()] is None


def test_a_table_cannot_name_files_outside_of_its_folder(tmp_path: Path) -> None:
    files(tmp_path / "data")
    (tmp_path / "secret.png").write_bytes(png(99))
    rows = [{"file_name": f"{i:02d}.png", "text": "a"} for i in range(N)] + [
        {"file_name": "../secret.png", "text": "b"}
    ]
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(UserWarning, match="lies outside of"):
        source = folder(settings(tmp_path / "data"))
    assert len(captions_of(source)) == N


def test_splits_of_a_table_are_obeyed(tmp_path: Path) -> None:
    files(tmp_path)
    rows = [{"file_name": f"{i:02d}.png", "split": "test" if i < 6 else "train"} for i in range(N)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = folder(settings(tmp_path))
    assert sorted(source.splits["test"].names) == [f"{i:02d}.png" for i in range(6)]


def sides(i: int) -> str:
    """Split that the columns of picture i state; one has a wrong one."""
    return "dev 2" if i == 19 else "test" if i < 6 else "train"


def json_beside(root: Path) -> Path:
    files(root)
    for i in range(N):
        (root / f"{i:02d}.json").write_text(json.dumps({"split": sides(i), "text": CAPTIONS[i]}))
    return root


def json_in_archive(root: Path) -> Path:
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as tar:
        for i in range(N):
            for suffix, data in (("png", png(i)), ("json", json.dumps({"Split": sides(i)}).encode())):
                info = tarfile.TarInfo(f"{i:02d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return root


@pytest.mark.parametrize("layout", [json_beside, json_in_archive])
def test_splits_in_json_are_obeyed(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    with pytest.warns(UserWarning, match="19.png: .*split=dev 2 is not one of train"):
        source = folder(settings(layout(tmp_path / "data")))
    found = {name: sorted(Path(one).stem for one in part.names) for name, part in source.splits.items()}
    assert found == {"test": [f"{i:02d}" for i in range(6)], "train": [f"{i:02d}" for i in range(6, 19)]}


def test_classes_are_those_of_the_images_that_a_table_trains_on(tmp_path: Path) -> None:
    files(tmp_path)
    rows = [{"file_name": f"{i:02d}.png", "split": sides(i % 19), "label": "cd"[i % 2]} for i in range(N)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, [*rows[:-1], rows[-1] | {"label": "e"}])))
    assert folder(settings(tmp_path / "metadata.jsonl", merge=True)).names == ("c", "d", "e")
    with pytest.raises(UserError, match="the training split has no image of e"):
        folder(settings(tmp_path / "metadata.jsonl"))


def test_boxes_of_a_detector_are_no_captions(tmp_path: Path) -> None:
    files(tmp_path)
    for i in range(N):
        (tmp_path / f"{i:02d}.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.warns(UserWarning, match=r"Ignored in .*: 20 \.txt"):
        source = folder(settings(tmp_path))
    assert source.fields == {}


def test_captions_may_be_left_out_or_named(tmp_path: Path) -> None:
    table(tmp_path)
    assert folder(settings(tmp_path, captions="none")).fields == {}
    assert set(folder(settings(tmp_path, captions="caption")).fields) == {"text"}
    with pytest.raises(UserError, match=r"Unknown column 'captoin'.*Did you mean 'caption'"):
        folder(settings(tmp_path, captions="captoin"))


def test_a_text_that_is_not_utf8_excludes_its_image(tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "03.txt").write_bytes(b"caf\xe9")
    with pytest.warns(UserWarning, match=r"03\.png: its 03\.txt cannot be read"):
        source = folder(settings(tmp_path))
    assert len(captions_of(source)) == N - 1


def test_statistics_of_runs_from_before_there_were_captions_are_read() -> None:
    image = Image(ImageConfig())
    label = image.statistics["conditions"]["label"]
    old = {**image.statistics, "names": list(label["names"]), "counts": list(label["counts"])}
    del old["conditions"]
    assert Image(image.config, old).data_conditions.fields == image.data_conditions.fields


def test_an_archive_alone_counts_no_file_beside_it(tmp_path: Path) -> None:
    files(tmp_path)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for i in range(4):
            for name, data in ((f"{i}.png", png(i)), (f"{i}.txt", b" \n" if i == 0 else b"a dog")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    quarantine = folder(ImageData(name="folder", path=tmp_path / "set.tar", size=8)).quarantine
    assert quarantine is not None
    assert not quarantine.ignored
    assert quarantine.notes["captioned"] == "3 have a caption, 1 have none"


@pytest.mark.parametrize("data", [b"image,caption\n00.png,a dog\n", "file_name,text\n".encode("utf-16")])
def test_a_metadata_table_that_is_not_read_is_named(tmp_path: Path, data: bytes) -> None:
    files(tmp_path)
    (tmp_path / "metadata.csv").write_bytes(data)
    quarantine = folder(ImageData(name="folder", path=tmp_path, size=8)).quarantine
    assert quarantine is not None
    assert quarantine.notes["tables"].startswith("not read: metadata.csv, without a column file_name")


def test_a_list_of_captions_is_an_error_with_the_picture(tmp_path: Path) -> None:
    files(tmp_path)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "03.png", "text": ["a", "b"]}), "utf-8")
    with pytest.raises(UserError, match=r"03\.png has \['a', 'b'\]\. An example has one text"):
        folder(ImageData(name="folder", path=tmp_path, size=8))


def test_a_condition_is_named_once(tmp_path: Path) -> None:
    data = ImageData(name="folder", path=jsonl(tmp_path), size=8, conditions=("text:text", "text:class"))
    with pytest.raises(UserError, match="names the column text 2 times"):
        folder(data)


def test_the_advice_on_lacking_captions_is_the_key_that_leaves_them_out(tmp_path: Path) -> None:
    root = jsonl(tmp_path / "data")
    trained = Image(ImageConfig(data=settings(root))).statistics
    with pytest.raises(UserError, match=r"lack the conditions text .*\. Leave out data\.captions=none, or start a new"):
        Image(ImageConfig(data=settings(root, captions="none")), trained).source  # noqa: B018 - it reads the data
    (root / "metadata.jsonl").unlink()
    with pytest.raises(UserError, match=r"Restore the tables and captions, or start a new run"):
        Image(ImageConfig(data=settings(root)), trained).source  # noqa: B018 - it reads the data
