"""Folders of images: decoding, orientation, classes, splits, and files that cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from polydiff.config.merge import resolve
from polydiff.config.saved import config_from
from polydiff.contract.data.quarantine import keep, summary_lines
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.files import KINDS, SUFFIXES, read
from polydiff.domains.image.data.folder import folder
from polydiff.domains.image.data.inputs import read_images
from polydiff.domains.image.data.source import digits
from polydiff.support.errors import UserError, amount

Pixels = NDArray[np.uint8]
UPRIGHT: Pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
STORED: dict[int, Callable[[Pixels], Any]] = {  # EXIF orientation -> how a file with it stores an upright picture
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def write_digits(root: Path, n: int = 40) -> Path:
    images = digits().splits["test"].images[:n]
    for i, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(root / f"{i:03d}.png")
    return root


def settings(root: Path, **values: Any) -> ImageData:
    return ImageData(**({"name": "folder", "path": root, "size": 8, "channels": 1} | values))


@pytest.mark.parametrize("orientation", STORED)
def test_files_are_turned_as_their_exif_says(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT))).save(path, exif=exif)
    assert torch.equal(read(path, 6, 3), torch.from_numpy(UPRIGHT).permute(2, 0, 1))


@given(st.integers(4, 60), st.integers(4, 60), st.integers(4, 24))
def test_the_shorter_side_becomes_the_size_and_proportions_stay(width: int, height: int, size: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bmp"
        Image.new("RGB", (width, height), (10, 200, 30)).save(path)
        image = read(path, size, 3)
    _, h, w = image.shape
    assert min(h, w) == size
    assert w / h == pytest.approx(width / height, abs=1.01 * max(w, h) / size / size)
    assert (image == torch.tensor([10, 200, 30])[:, None, None]).all()


@pytest.mark.skipif(os.name != "posix", reason="names are text")
def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    def images() -> list[bytes]:
        splits = folder(settings(root)).splits.values()
        return sorted(image.numpy().tobytes() for split in splits for image in split.images)

    root = write_digits(tmp_path)
    before = images()
    (root / "000.png").rename(root / os.fsdecode(b"\xff.png"))
    assert images() == before


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png", 8, 1)[0].numpy() == ramp >> 8).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    image.convert(mode).save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png", 8, 3)
    assert (pixels[:, :, :4] == 0).all()
    assert (pixels[:, :, 4:] == 255).all()


def test_files_in_ink_colours_are_read(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert (read(tmp_path / "a.jpg", 8, 3).float() - torch.tensor([200.0, 40, 90])[:, None, None]).abs().max() < 6


def test_a_large_jpeg_keeps_its_shape_and_colours(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(0, 255, 900), np.linspace(0, 255, 600))
    Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    image = read(tmp_path / "a.jpg", 20, 3)
    assert image.shape == (3, 20, 30)
    across = torch.linspace(0, 255, 61)[1::2]
    assert (image[0].float().mean(0) - across).abs().max() < 4


def test_a_centre_crop_is_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    for i in range(3):
        Image.fromarray(wide).save(tmp_path / f"{i}.png")
    source = folder(settings(tmp_path))
    assert (source.splits["train"].centred([0]) == 255).all()
    whole = folder(settings(tmp_path, crop="random")).splits["train"]
    assert whole.images[0].shape == (1, 8, 24)
    assert (whole.centred([0]) == 255).all()


def test_a_few_broken_files_are_named_and_left_out(tmp_path: Path) -> None:
    write_digits(tmp_path)
    (tmp_path / "torn.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    with pytest.warns(UserWarning, match=r"(?s)1 of 41 images.*torn\.png: "):
        source = folder(settings(tmp_path))
    assert sum(map(len, source.splits.values())) == 40


def test_many_broken_files_raise_an_error(tmp_path: Path) -> None:
    write_digits(tmp_path)
    for i in range(3):
        (tmp_path / f"bad{i}.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"(?s)3 of 43 images.*bad2\.jpg.*Remove or repair"):
        folder(settings(tmp_path))


def test_a_format_that_is_not_listed_is_left_out_whatever_its_name(tmp_path: Path) -> None:
    write_digits(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "000.tga")
    (tmp_path / "000.tga").replace(tmp_path / "sly.png")
    with pytest.warns(UserWarning, match="sly.png"):
        folder(settings(tmp_path))


def test_numbers_without_a_range_raise_an_error(tmp_path: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="no known range"):
        read(tmp_path / "a.tiff", 8, 1)


def test_folders_are_classes_unless_files_lie_beside_them(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name / "deep").mkdir(parents=True)
        write_digits(tmp_path / name / "deep", 10)
    (tmp_path / ".hidden").mkdir()
    write_digits(tmp_path / ".hidden", 10)
    source = folder(settings(tmp_path))
    assert source.names == ("cat", "dog")
    labels = torch.cat([split.labels for split in source.splits.values()])
    assert labels.bincount().tolist() == [10, 10]
    assert folder(settings(tmp_path, labels="none")).names == ()
    write_digits(tmp_path, 1)
    loose = folder(settings(tmp_path))
    assert loose.names == ()
    assert set(loose.splits["train"].labels.tolist()) == {-1}
    with pytest.raises(UserError, match="beside the class folders"):
        folder(settings(tmp_path, labels="folders"))


def test_new_files_move_no_other_to_the_other_split(tmp_path: Path) -> None:
    write_digits(tmp_path, 30)

    def held_out() -> set[bytes]:
        return {image.numpy().tobytes() for image in folder(settings(tmp_path)).splits["test"].images}

    before = held_out()
    write_digits(tmp_path, 40)
    assert before <= held_out()
    assert 0 < len(before) < 15


@pytest.mark.parametrize("n", [0, 1])
def test_a_folder_with_too_few_images_raises_an_error(n: int, tmp_path: Path) -> None:
    write_digits(tmp_path, n)
    with pytest.raises(UserError, match=f"holds {amount(n, 'image')}"):
        folder(settings(tmp_path))


def test_a_folder_that_is_not_there_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        folder(settings(tmp_path / "nowhere"))


def class_folders(root: Path, numbers: dict[str, int]) -> Path:
    """Write so many different pictures into each folder."""
    g = np.random.default_rng(0)
    for name, n in numbers.items():
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(g.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / name / f"{i:03d}.png")
    return root


def test_folders_named_after_splits_are_splits_and_the_classes_lie_below(tmp_path: Path) -> None:
    numbers = {"train/cat": 9, "train/dog": 8, "test/cat": 6, "test/dog": 5, "valid/cat": 3, "extra": 4}
    source = folder(settings(class_folders(tmp_path, numbers)))
    assert source.names == ("cat", "dog")
    assert [source.splits[side].labels.bincount().tolist() for side in ("train", "test")] == [[9, 8], [6, 5]]
    assert source.quarantine
    assert source.quarantine.splits == {"cat": {"train": 9, "test": 6}, "dog": {"train": 8, "test": 5}}
    assert (source.quarantine.used, source.quarantine.left_out) == (28, 7)
    assert "4 lie outside of test/, train/, valid/" in source.quarantine.summary()


def test_a_validation_folder_is_held_out_if_there_is_no_test_folder(tmp_path: Path) -> None:
    source = folder(settings(class_folders(tmp_path, {"Train": 9, "Val": 5})))
    assert [len(source.splits[side]) for side in ("train", "test")] == [9, 5]
    assert source.names == ()


def test_classes_below_a_folder_of_training_alone_are_classes(tmp_path: Path) -> None:
    source = folder(settings(class_folders(tmp_path, {"train/cat": 30, "train/dog": 30})))
    assert source.names == ("cat", "dog")
    assert all(min(split.labels.bincount()) >= 3 for split in source.splits.values())


def test_held_out_files_beside_the_class_folders_have_no_class(tmp_path: Path) -> None:
    source = folder(settings(class_folders(tmp_path, {"train/cat": 9, "train/dog": 8, "test": 6})))
    assert source.names == ("cat", "dog")
    assert source.splits["test"].labels.tolist() == [-1] * 6


def test_a_class_without_training_images_raises_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train/cat": 9, "train/dog": 8, "test/cats": 6})
    with pytest.raises(UserError, match="training split has no image of cats"):
        folder(settings(tmp_path))


def test_every_class_is_held_out_and_a_warning_names_those_with_few_images(tmp_path: Path) -> None:
    class_folders(tmp_path, {"bell": 20, "kick": 20, "snare": 200})
    with pytest.warns(UserWarning, match=r"Few examples are held out: (bell|kick) \(\d of 20\)"):
        source = folder(settings(tmp_path, test_share=0.1))
    held_out = source.splits["test"].labels.bincount(minlength=3).tolist()
    assert 1 <= held_out[0] <= 4
    assert 1 <= held_out[1] <= 4
    assert 10 <= held_out[2] <= 40


def test_copies_of_one_picture_are_in_one_split_whatever_their_names_and_formats(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 60})
    before = folder(settings(tmp_path, test_share=0.3)).splits["test"].images
    for i in range(60):
        with Image.open(tmp_path / "a" / f"{i:03d}.png") as image:
            image.save(tmp_path / "a" / f"{i:03d} (copy).bmp")
            image.save(tmp_path / "a" / f"copy of {i:03d}.tif")
    source = folder(settings(tmp_path, test_share=0.3))
    pixels = [{image.numpy().tobytes() for image in source.splits[side].images} for side in ("train", "test")]
    assert not pixels[0] & pixels[1]
    assert len(pixels[0] | pixels[1]) == 60
    assert pixels[1] == {image.numpy().tobytes() for image in before}
    assert source.quarantine
    assert "120 have the same pixels as another one" in source.quarantine.summary()


def test_a_training_image_in_the_users_test_folder_is_reported(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 9, "test": 6})
    (tmp_path / "test" / "again.png").write_bytes((tmp_path / "train" / "000.png").read_bytes())
    with pytest.warns(UserWarning, match="1 held-out images have the same pixels as a training image"):
        folder(settings(tmp_path))


def test_a_saved_configuration_without_rules_keeps_its_split_classes_and_files(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train/cat": 20, "train/dog": 20, "test/cat": 20})
    with Image.open(tmp_path / "train" / "cat" / "000.png") as image:
        image.save(tmp_path / "train" / "cat" / "more.gif")
    saved = resolve("image", values={"data.path": tmp_path, "data.size": 8}).config.model_dump(mode="json")
    assert saved["data"].pop("rules") == 2
    data = config_from(saved).data
    assert isinstance(data, ImageData)
    source = folder(data)
    assert source.names == ("test", "train")
    names = [f"{side}/{i:03d}.png" for side in ("test/cat", "train/cat", "train/dog") for i in range(20)]
    lots = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest()) / 2**48 for name in names]
    assert len(source.splits["test"]) == sum(number < 0.2 for number in lots)
    assert sum(map(len, source.splits.values())) == 60


def test_everything_in_a_folder_is_used_excluded_or_ignored_by_kind(tmp_path: Path) -> None:
    write_digits(tmp_path, 40)
    for name in ("a.txt", "b.txt", "film.mp4", "metadata.jsonl", "README", ".DS_Store", "sub/photo.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "again.png").symlink_to("000.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    with pytest.warns(UserWarning, match=r"Ignored in .*: 2 \.txt, .*1 \.mp4"):
        source = folder(settings(tmp_path))
    account = source.quarantine
    assert account
    assert account.ignored == {
        **{".txt": 2, ".mp4": 1, ".jsonl": 1, "without a suffix": 1, "hidden": 1, ".heic": 1, "linked twice": 1}
    }
    assert account.reasons == {"gone.png": "it is a broken link"}
    assert "ignored: 2 .txt," in account.summary()
    assert account.as_json()["ignored"] == account.ignored
    keep(account, tmp_path)
    assert summary_lines(tmp_path)[0] == account.summary()


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_read(suffix: str, tmp_path: Path) -> None:
    kind = next(kind for kind, suffixes in KINDS.items() if suffix in suffixes)
    grey = 240 * (np.indices((8, 8)).sum(0) > 7).astype(np.uint8)
    image = Image.fromarray(grey)
    image = image.convert("1") if suffix == ".pbm" else image.convert("RGB") if kind == "AVIF" else image
    image.save(tmp_path / f"a{suffix}", format=kind)
    seen = read(tmp_path / f"a{suffix}", 8, 1)[0].float()
    assert (seen - torch.from_numpy(grey)).abs().mean() < 16


def test_a_grey_map_of_sixteen_bits_is_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.pgm", format="PPM")
    assert (read(tmp_path / "a.pgm", 8, 1)[0].numpy() == ramp >> 8).all()


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".png"])
def test_of_several_frames_the_first_is_used_and_counted(suffix: str, tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 30})
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / f"film{suffix}", save_all=True, append_images=frames[1:])
    source = folder(settings(tmp_path))
    assert source.quarantine
    assert "1 hold several pages or frames, of which the first is used" in source.quarantine.summary()
    assert (read(tmp_path / f"film{suffix}", 8, 3) == 0).all()
    with pytest.warns(UserWarning, match="holds several pages or frames; the first is used"):
        read_images([tmp_path / f"film{suffix}"], settings(tmp_path))


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"photos\.zip is not a folder\. Unpack it"):
        folder(settings(tmp_path / "photos.zip"))
