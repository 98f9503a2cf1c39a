"""Each data set in the format in which it is distributed is recognised, loaded, trained on, sampled and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import image_layouts as layouts
import numpy as np
import pytest
from image_layouts import CARS, HELD_OUT, TRAINED

import polydiff
from polydiff.cli import main
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.folder import folder
from polydiff.domains.image.data.sets.recognise import reader_of
from polydiff.domains.image.data.source import Source, open_source
from polydiff.judging.evaluate import evaluate
from polydiff.training.trainer import train

TINY: dict[str, Any] = {
    **{"backbone.channels": 8, "backbone.blocks": 1},
    **{"train.steps": 20, "train.batch_size": 8, "train.checkpoint_every": 20, "sample.steps": 2},
}
PLANES = ("airplane", "automobile", "bird")
FRUIT = ("apple", "aquarium_fish", "baby")
PETS = ("cat", "dog", "bird")
Make = Callable[[Path], Path]

LAYOUTS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "CIFAR-10, binary": (layouts.cifar10_binary, PLANES),
    "CIFAR-10, binary, in a folder": (
        lambda root: layouts.cifar10_binary(root / "cifar-10-batches-bin").parent,
        PLANES,
    ),
    "CIFAR-100, binary": (layouts.cifar100_binary, FRUIT),
    "CIFAR-10, python": (layouts.cifar10_python, PLANES),
    "CIFAR-100, python": (layouts.cifar100_python, FRUIT),
    "MNIST": (layouts.mnist, ("0", "1", "2")),
    "MNIST, .idx3": (lambda root: layouts.mnist(root, "."), ("0", "1", "2")),
    "MNIST, .gz": (lambda root: layouts.mnist(root, packed=True), ("0", "1", "2")),
    "Fashion-MNIST, in raw": (
        lambda root: layouts.mnist(root / "Fashion" / "raw").parent,
        ("T-shirt/top", "Trouser", "Pullover"),
    ),
    "npz": (layouts.npz, ("0", "1", "2")),
    "folder of an npz": (lambda root: layouts.npz(root).parent, ("0", "1", "2")),
    "npy": (layouts.npy, ()),
    "Cars": (layouts.cars, CARS),
    "Cars, nested": (lambda root: layouts.cars(root, nested=True, labels="."), CARS),
    "Cars, one folder": (layouts.cars_in_one, CARS),
    "save_to_disk": (layouts.saved_to_disk, PETS),
    "parquet": (layouts.parquet, ("0", "1", "2")),
}
FAMILIES = (
    *("CIFAR-10, binary", "npz", "Cars", "save_to_disk"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("CIFAR-100, python", "MNIST, .gz", "npy", "parquet")),
)
"""Layouts without those that differ in names alone."""
NEEDS = {"save_to_disk": "datasets", "parquet": "pyarrow"}


def made(name: str, root: Path) -> Path:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    return LAYOUTS[name][0](root)


def settings(path: Path, **keys: Any) -> ImageData:
    return ImageData(**{"path": path, "size": 8, "channels": 1} | keys)


@pytest.mark.filterwarnings("ignore:Few examples are held out")
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_loaded_with_its_splits_and_classes(name: str, tmp_path: Path) -> None:
    path = made(name, tmp_path / "data")
    source = open_source(settings(path))
    assert source.names == LAYOUTS[name][1]
    assert source.quarantine
    total = TRAINED + HELD_OUT
    account = source.quarantine
    assert (account.found, account.used, account.ignored) == (total, total, {})
    if name != "npy":
        assert [len(source.splits[side]) for side in ("train", "test")] == [TRAINED, HELD_OUT]
    if source.names:
        assert [part.labels.bincount().tolist() for part in source.splits.values()] == [[8, 8, 8], [4, 4, 4]]
    merged = open_source(settings(path, merge=True, test_share=0.5))
    assert sum(map(len, merged.splits.values())) == total
    assert len(merged.splits["test"]) != HELD_OUT or name == "npy"


@pytest.mark.parametrize("name", LAYOUTS)
def test_data_check_recognises_every_layout(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(name, tmp_path / "data")
    domain = ["--domain", "image"] if name == "npy" else []  # sounds are kept in .npy files too
    assert main(["data", "check", str(path), "data.size=8", "--json", *domain]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["domain"], found["used"]) == ("image", TRAINED + HELD_OUT)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_layout_is_trained_on_sampled_and_evaluated(name: str, tmp_path: Path) -> None:
    path = made(name, tmp_path / "data")
    values = {"data.path": path, "data.size": 8, "data.channels": 1, **TINY}
    run = train("image", tmp_path / "run", overrides=values)
    model = polydiff.load(run)
    cond = {"label": LAYOUTS[name][1][1]} if LAYOUTS[name][1] else {}
    samples = model.sample(4, seed=0, cond=cond)
    assert np.stack(list(samples.examples)).shape == (4, 1, 8, 8)
    assert evaluate(model, n=8, seed=0)


def test_a_folder_of_pictures_remains_one_beside_arrays(tmp_path: Path) -> None:
    layouts.npz(tmp_path / "photos")
    for i, one in enumerate(layouts.pictures(8, (8, 8, 3))):
        (tmp_path / "photos" / f"{i}.png").write_bytes(layouts.png(one))
    assert reader_of(settings(tmp_path / "photos")) is folder
    assert reader_of(settings(tmp_path / "nowhere")) is folder


def test_runs_from_before_data_sets_were_recognised_read_a_folder(tmp_path: Path) -> None:
    path = layouts.cars(tmp_path / "cars")
    assert reader_of(settings(path, rules=1)) is folder
    assert reader_of(settings(path)) is not folder


def pixels_of(source: Source) -> dict[str, bytes]:
    return {
        name: image.numpy().tobytes()
        for part in source.splits.values()
        for name, image in zip(part.names, part.images, strict=True)
    }


@pytest.mark.filterwarnings("ignore")
def test_pixels_are_those_of_the_files_at_their_own_size(tmp_path: Path) -> None:
    binary = open_source(settings(layouts.cifar10_binary(tmp_path / "binary"), size=32, channels=3))
    python = open_source(settings(layouts.cifar10_python(tmp_path / "python"), size=32, channels=3))
    expected = [one.transpose(2, 0, 1).tobytes() for i in range(3) for one in layouts.pictures(12, (32, 32, 3), i)]
    assert list(pixels_of(binary).values()) == expected
    assert list(pixels_of(python).values()) == expected
    mnist = open_source(settings(layouts.mnist(tmp_path / "mnist"), size=28))
    assert set(pixels_of(mnist).values()) == {
        one.tobytes() for i, n in ((0, TRAINED), (1, HELD_OUT)) for one in layouts.pictures(n, (28, 28), i)
    }


@pytest.mark.filterwarnings("ignore")
def test_arrays_are_resized_and_coloured_as_files_are(tmp_path: Path) -> None:
    pictures = layouts.pictures(12, (20, 28, 3))
    np.savez(tmp_path / "a.npz", x=pictures)
    (tmp_path / "files").mkdir()
    for i, one in enumerate(pictures):
        (tmp_path / "files" / f"{i}.png").write_bytes(layouts.png(one))
    for channels in (1, 3):
        arrays = open_source(settings(tmp_path / "a.npz", channels=channels))
        files = open_source(settings(tmp_path / "files", channels=channels))
        assert set(pixels_of(arrays).values()) == set(pixels_of(files).values())
