"""train.codes=cache: the codes of training examples are computed once, and training sees what it saw without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stage_cases import captioned, trained_codec, trained_on_codes, trained_pair, trained_prior
from tiny_runs import assert_same_run, stop_at

import polydiff
from polydiff.config.merge import resolve
from polydiff.core.space import Space
from polydiff.stages import cached
from polydiff.stages.open import open_domain
from polydiff.stages.through import Through
from polydiff.support.errors import UserError
from polydiff.training.checks import check_settings
from polydiff.training.data import batches

CACHED = {"train.codes": "cache"}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_codec("image", tmp_path_factory.mktemp("codes") / "ae")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codes"


def opened(codec: Path, **more: Any) -> Through:
    """Return a domain in codes, of a run of 3,000 steps of 64."""
    domain = open_domain(resolve("image", values={"codec": str(codec), **more}).config)
    assert isinstance(domain, Through)
    return domain


def test_batches_are_those_without_the_cache(codec: Path, cache: Path) -> None:
    plain, kept = opened(codec), opened(codec, **CACHED)
    a, b = (batches(domain, 32, 3, 0.1) for domain in (plain, kept))
    for step in (0, 1, 60):  # 60: the second epoch, with other draws of the posterior
        ours, theirs = a(step), b(step)
        torch.testing.assert_close(ours.x, theirs.x, atol=1e-5, rtol=1e-5)
        assert ours.space == theirs.space
        assert torch.equal(ours.cond["label"], theirs.cond["label"])  # type: ignore[index]
    assert len(list(cache.iterdir())) == 1
    twice = [kept.batch("train", [4], polydiff.streams(seed, "augment", [4])).x for seed in (0, 0, 1)]
    assert torch.equal(twice[0], twice[1])
    assert not torch.equal(twice[0], twice[2])


def test_a_second_run_computes_nothing_and_another_codec_has_other_codes(
    codec: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(codec, **CACHED)
    first.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(cached, "write", lambda *_: pytest.fail("the cache was not found"))
        again = opened(codec, **CACHED, **{"seed": 5, "train.steps": 7})  # fewer than it has examples
        again.prepare()
        assert first.posteriors is not None
        assert again.posteriors is not None
        assert np.array_equal(first.posteriors.mean, again.posteriors.mean)
    other = opened(trained_codec("image", tmp_path / "other", seed=1), **CACHED)
    other.prepare()
    assert len(list(cache.iterdir())) == 2


def test_training_resumes_to_the_same_bits(codec: Path, cache: Path, tmp_path: Path) -> None:
    opened(codec, **CACHED).prepare()
    whole = trained_on_codes("image", tmp_path / "whole", codec, **CACHED)
    with pytest.raises(KeyboardInterrupt):
        trained_on_codes("image", tmp_path / "cut", codec, progress=stop_at(5), **CACHED)
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


@pytest.mark.parametrize("damage", ["bit", "cut", "manifest", "missing"])
def test_a_damaged_cache_is_computed_again(damage: str, codec: Path, cache: Path) -> None:
    first = opened(codec, **CACHED)
    first.prepare()
    assert first.posteriors is not None
    mean = np.array(first.posteriors.mean)
    (folder,) = cache.iterdir()
    path = folder / "mean.npy"
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-8])
    elif damage == "manifest":
        (folder / "manifest.json").write_text(json.dumps({"sha256": []}))
    else:
        path.unlink()
    again = opened(codec, **CACHED)
    again.prepare()
    assert again.posteriors is not None
    assert np.array_equal(again.posteriors.mean, mean)


def test_a_stop_leaves_no_half_written_cache(codec: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = opened(codec, **CACHED)
    encode, calls = domain.codec.posterior, list[int]()

    def stopping(x: torch.Tensor, space: Space) -> Any:
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(x, space)

    monkeypatch.setattr(domain.codec, "posterior", stopping)
    with pytest.raises(KeyboardInterrupt):
        domain.prepare()
    assert list(cache.iterdir()) == []


def test_what_cannot_be_cached_is_an_error(
    codec: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"train\.codes=cache keeps the codes of a codec, and this run has none"):
        check_settings(resolve("image", values=CACHED))
    with pytest.raises(UserError, match=r"would encode 1,438 training examples, but 10 steps of 64 see 640\. Leave it"):
        opened(codec, **CACHED, **{"train.steps": 10}).prepare()
    with pytest.raises(UserError, match=r"would encode 1,000,000 training examples, but"):
        cached.check_seen(resolve("image", values={"data.name": "shapes"}).config, 10**6)
    monkeypatch.setattr(cached, "MOST", 1000)
    with pytest.raises(UserError, match=r"the codes of 1,438 training examples need .* GiB, more than"):
        opened(codec, **CACHED).prepare()
    monkeypatch.undo()
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot hold the codes of the training examples .* Free space there"):
        opened(codec, **CACHED).prepare()


def test_random_changes_of_examples_are_an_error(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
    data = {"data.path": str(tmp_path / "pictures"), "data.size": 8, "data.channels": 1}
    codec = trained_codec("image", tmp_path / "ae", **data)
    with pytest.raises(
        UserError, match=r"the same each time, but example \d+ is cropped, flipped or changed at random"
    ):
        opened(codec, **data, **CACHED, **{"data.flip": True}).prepare()
    opened(codec, **data, **CACHED).prepare()


def test_embeddings_are_not_cached(tmp_path: Path) -> None:
    data = captioned("image", tmp_path / "data")
    pair = trained_pair("image", tmp_path / "pair", data)
    with pytest.raises(UserError, match=r"train\.codes=cache is for codes of an autoencoder, not for embeddings"):
        trained_prior("image", tmp_path / "prior", pair, data, **CACHED)
