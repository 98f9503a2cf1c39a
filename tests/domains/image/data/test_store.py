"""Decoded images on disk: the same as in memory, decoded once, whole or not at all, and within bounded memory."""

from __future__ import annotations

import errno
import os
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from polydiff.contract.data.places import Place
from polydiff.core.streams import streams
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data import folder as folder_module
from polydiff.domains.image.data.files import Facts
from polydiff.domains.image.data.folder import folder
from polydiff.domains.image.data.store import cached
from polydiff.domains.image.data.store import decode as decoding
from polydiff.domains.image.data.store.decode import decode
from polydiff.domains.image.data.store.images import Decoded, OnDisk, Store
from polydiff.domains.image.domain import Image as Domain
from polydiff.support.errors import UserError
from polydiff.support.replace import draft_folder

FACTS = Facts("PNG", "L", 8, 8, False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and so little memory that a few images exceed it."""
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoding, "MEMORY", 3000)
    return tmp_path / "cache" / "image"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for i in range(40):
        (root / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8 + i % 3, 8 + i % 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i % 2}" / f"{i}.png")
    return root


def settings(root: Path, **values: Any) -> ImageData:
    return ImageData(**({"name": "folder", "path": root, "size": 8} | values))


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that receives the place of each file that is decoded from now on."""
    seen: list[Any] = []
    load = folder_module.load
    monkeypatch.setattr(folder_module, "load", lambda place, *rest: seen.append(place) or load(place, *rest))
    return seen


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_images_on_disk_are_those_in_memory_and_the_second_start_decodes_nothing(
    crop: str, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = settings(photos, crop=crop, flip=True)
    (photos / "0" / "torn.png").write_bytes((photos / "0" / "0.png").read_bytes()[:60])
    seen = decoded(monkeypatch)
    with pytest.warns(UserWarning, match=r"torn\.png"):
        first = folder(data)
    assert len(seen) == 41
    with pytest.warns(UserWarning, match=r"torn\.png"):
        second = folder(data)
    assert len(seen) == 41
    monkeypatch.setattr(decoding, "MEMORY", 2**31)
    shutil.rmtree(cache)
    with pytest.warns(UserWarning, match=r"torn\.png"):
        memory = folder(data)
    assert not cache.exists()
    for source in (first, second):
        assert isinstance(source.splits["train"].images, OnDisk)
        assert source.facts == memory.facts
        assert source.names == memory.names
        assert source.quarantine
        assert memory.quarantine
        assert source.quarantine.as_json() == memory.quarantine.as_json()
        assert source.quarantine.found == 41 == source.quarantine.used + len(source.quarantine.reasons)
        for side in ("train", "test"):
            assert source.splits[side].names == memory.splits[side].names
            assert source.splits[side].digest() == memory.splits[side].digest()


def test_training_batches_from_disk_have_the_bits_of_those_from_memory(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ImageConfig(data=settings(photos, crop="random", flip=True))
    disk = Domain(config)
    batch = disk.batch("train", range(12), streams(0, "augment", range(12)))
    monkeypatch.setattr(decoding, "MEMORY", 2**31)
    shutil.rmtree(cache)
    memory = Domain(config)
    assert disk.statistics == memory.statistics
    assert disk.identity("train") == memory.identity("train")
    assert torch.equal(batch.x, memory.batch("train", range(12), streams(0, "augment", range(12))).x)


@pytest.mark.parametrize("change", ["time", "size", "crop", "name"])
def test_another_file_or_setting_is_decoded_anew(
    change: str, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(settings(photos))
    seen = decoded(monkeypatch)
    one, data = photos / "0" / "0.png", settings(photos)
    match change:
        case "time":
            os.utime(one, ns=(1, 1))
        case "name":
            one.rename(photos / "0" / "new.png")
        case "size":
            data = settings(photos, size=9)
        case "crop":
            data = settings(photos, crop="random")
    folder(data)
    assert len(seen) == 40


@pytest.mark.parametrize("damage", ["short", "no index", "half an index", "other names", "empty"])
def test_a_damaged_folder_of_the_cache_is_made_anew(
    damage: str, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folder(settings(photos)).splits["train"].digest()
    (own,) = cache.iterdir()
    index = own / cached.INDEX
    match damage:
        case "short":
            os.truncate(own / cached.PIXELS, 100)
        case "no index":
            index.unlink()
        case "half an index":
            os.truncate(index, index.stat().st_size // 2)
        case "other names":
            index.write_text(index.read_text().replace("0/0.png", "0/z.png"))
        case "empty":
            index.write_text('{"images": {}, "reasons": {}, "unopened": []}')
    seen = decoded(monkeypatch)
    assert folder(settings(photos)).splits["train"].digest() == before
    assert len(seen) == 40
    folder(settings(photos))
    assert len(seen) == 40


def test_an_interrupted_start_leaves_nothing_behind(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, count = cached.put, iter(range(100))

    def stopped(*values: Any) -> None:
        put(*values)
        if next(count) == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(cached, "put", stopped)
    with pytest.raises(KeyboardInterrupt):
        folder(settings(photos))
    assert list(cache.iterdir()) == []


def test_a_disk_without_space_is_an_error_before_most_images_are_decoded(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = decoded(monkeypatch)
    monkeypatch.setattr(decoding, "AHEAD", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=7000))
    with pytest.raises(UserError, match=r"cannot hold the decoded images \(about .* are free.*POLYDIFF_CACHE"):
        folder(settings(photos))
    assert len(seen) < 40
    assert list(cache.iterdir()) == []


def test_a_disk_that_becomes_full_is_an_error(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*values: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cached, "put", full)
    with pytest.raises(UserError, match="No space left on device"):
        folder(settings(photos))
    assert list(cache.iterdir()) == []


def test_a_file_that_could_not_be_opened_is_tried_again(tmp_path: Path, cache: Path) -> None:
    places = {f"{i}": Place(tmp_path / f"{i}") for i in range(60)}
    for place in places.values():
        place.path.write_bytes(b"x")
    fails = {"7"}

    def read(place: Place) -> Decoded:
        if place.path.name in fails:
            raise PermissionError(errno.EACCES, "Permission denied")
        return Decoded(torch.zeros(1, 8, 8, dtype=torch.uint8), FACTS, b"d")

    first = decode(places, read, {})
    assert list(first.reasons) == first.unopened == ["7"]
    fails.clear()
    assert decode(places, read, {}).entries.keys() == places.keys()


@pytest.mark.parametrize("limit", [2**20, 2**31])
def test_the_peak_of_memory_follows_the_limit_and_not_the_number_of_images(
    limit: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MEMORY", limit)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    side, n = 300, 200
    places = {f"{i}": Place(tmp_path / f"{i}") for i in range(n)}

    def read(place: Place) -> Decoded:
        pixels = np.full((1, side, side), int(place.path.name), np.uint8)  # numpy's memory is traced, torch's is not
        return Decoded(torch.from_numpy(pixels), FACTS, b"d")

    tracemalloc.start()
    try:
        images = decode(places, read, {}).images
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    total = n * side * side
    assert (peak < total / 5) == (limit < total)
    assert [int(image[0, 5, 7]) for image in images] == list(range(n))
    assert [image.shape for image in images[3:5]] == [(1, side, side)] * 2


def test_what_nobody_finished_is_deleted_and_what_a_process_writes_is_not(photos: Path, cache: Path) -> None:
    dead, living = (cache / f".decoded-{c * 32}.{c * 12}.tmp" for c in "ab")
    dead.mkdir(parents=True)
    with draft_folder(living):
        folder(settings(photos))
        assert (dead.exists(), living.exists()) == (False, True)


def test_selected_images_keep_their_order() -> None:
    images = [torch.full((1, 1, 1), i, dtype=torch.uint8) for i in range(4)]
    made = Store(images)
    for i in range(4):
        made.add(f"{i}", Decoded(images[i], FACTS, b""))
    made.add("bad", ValueError("no"))
    assert [int(image) for image in made.select(["2", "0"])] == [2, 0]
    assert made.reasons == {"bad": "ValueError: no"}
