"""The prior: a diffusion whose examples are the embeddings that a pair makes."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_cases import CaptionedPair, captioned, trained_codec, trained_pair, trained_prior
from tiny_runs import TINY, assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.contract.abilities import HasUnits
from polydiff.contract.domain import Samples
from polydiff.contract.editing import HasMeasurements, HasRegions, Restores
from polydiff.core.condition_batch import withhold
from polydiff.core.streams import streams
from polydiff.judging.evaluate import evaluate
from polydiff.judging.likelihood import likelihood
from polydiff.stages.embedded import Embedded
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.testing import check_domain

Case = tuple[Path, Path, dict[str, Any]]
"""Runs of a pair and of a prior, and the keys of their data."""


@pytest.fixture(scope="module")
def case(captioned_pair: CaptionedPair, tmp_path_factory: pytest.TempPathFactory) -> Case:
    domain, pair, data = captioned_pair
    return pair, trained_prior(domain, tmp_path_factory.mktemp("prior") / domain, pair, data), data


def embedded(run: Path) -> Embedded:
    domain = polydiff.load(run).domain
    assert isinstance(domain, Embedded)
    return domain


def test_states_are_the_vectors_of_the_pair_at_unit_scale(case: Case) -> None:
    pair, prior = polydiff.load(case[0]), embedded(case[1])
    indices = range(5)
    found = prior.batch("test", indices, streams(0, "augment", indices))
    inner = pair.domain.batch("test", indices, streams(0, "augment", indices))
    with torch.no_grad():
        assert torch.equal(found.x, math.sqrt(12) * pair.denoiser.embed(inner.x))
    torch.testing.assert_close(found.x.square().mean(1), torch.ones(5))
    assert found.cond is not None
    assert inner.cond is not None
    assert torch.equal(found.cond["text"], inner.cond["text"])


def test_samples_are_unit_vectors_whatever_their_states(case: Case) -> None:
    domain = embedded(case[1])
    x = 5 * torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    vectors = torch.stack(domain.decode(x, domain.space(3)))
    torch.testing.assert_close(vectors, x / x.norm(dim=1, keepdim=True))
    drawn = polydiff.load(case[1]).sample(3, cond={"text": "a strong mark at the end"})
    torch.testing.assert_close(torch.stack(list(drawn)).norm(dim=1), torch.ones(3))


def test_it_is_resumed_to_the_same_bits_and_needs_neither_the_pair_nor_the_data(case: Case, tmp_path: Path) -> None:
    domain, data = polydiff.load(case[1]).config.domain, case[2]
    pair = shutil.copytree(case[0], tmp_path / "pair")
    whole = trained_prior(domain, tmp_path / "whole", pair, data)
    with pytest.raises(KeyboardInterrupt):
        trained_prior(domain, tmp_path / "cut", pair, data, progress=stop_at(5))
    before = torch.stack(list(polydiff.load(whole).sample(4)))
    shutil.rmtree(pair)
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))
    moved = shutil.move(whole, tmp_path / "moved")
    source = Path(str(data["data.path"]))
    hidden = source.rename(source.with_name("hidden"))
    try:
        model = polydiff.load(moved)
        drawn = model.sample(4)
        assert torch.equal(torch.stack(list(drawn)), before)
        assert "held-out texts" in model.domain.show(drawn)
    finally:
        hidden.rename(source)


def test_a_changed_copy_of_the_pair_is_an_error(case: Case, tmp_path: Path) -> None:
    run = shutil.copytree(case[1], tmp_path / "prior")
    path = run / "parts" / "codec" / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"ema\.safetensors does not match its manifest"):
        polydiff.load(run)


def test_the_conformance_kit_accepts_it(case: Case) -> None:
    failed = [check for check in check_domain(polydiff.load(case[1]).config, 8) if not check.passed]
    assert failed == []


def test_an_evaluation_puts_samples_between_real_embeddings_and_noise(case: Case) -> None:
    model = polydiff.load(case[1])
    metrics = evaluate(model, 8)["metrics"]
    assert metrics["true_cosine"]["data"] == pytest.approx(1, abs=1e-6)
    assert abs(metrics["true_cosine"]["noise"]) < 0.5
    texts = embedded(case[1]).texts.words
    assert len({*texts}) == len(texts) > 1
    assert f"among {len(texts)} different held-out texts" in metrics["text_found"]["meaning"]
    other = evaluate(model, 8, cond={"text": "a strong mark at the end"})["metrics"]["true_cosine"]
    assert other["value"] is None
    assert "only under the conditions of these" in other["meaning"]


def test_retrieval_agrees_with_the_pair_itself(case: Case) -> None:
    pair, domain = polydiff.load(case[0]), embedded(case[1])
    real = domain.examples("test", 8)
    assert real.cond is not None
    with torch.no_grad():
        own = pair.denoiser.embed_text(real.cond, len(real))
    texts = [str(row["text"]) for row in domain.describe(real.cond)]
    different = sorted({*texts}, key=texts.index)
    columns = torch.stack([own[texts.index(text)] for text in different])
    nearest = (torch.stack(list(real.examples)) @ columns.T).argmax(1)
    right = [different[place] == text for place, text in zip(nearest.tolist(), texts, strict=True)]
    assert domain.evaluate(real)["text_found"].value == sum(right) / len(right)


def test_files_are_read_as_their_embeddings_and_vectors_at_any_length(case: Case, tmp_path: Path) -> None:
    domain, pair = embedded(case[1]), polydiff.load(case[0])
    folder = Path(str(case[2]["data.path"]))
    folder = folder if folder.is_dir() else folder.parent
    files = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".wav"))[:2]
    with torch.no_grad():
        expected = math.sqrt(12) * pair.denoiser.embed(pair.domain.read(files).x)  # type: ignore[attr-defined]
    assert torch.equal(domain.read(files).x, expected)
    np.save(tmp_path / "z.npy", 7 * expected.numpy())
    torch.testing.assert_close(domain.read([tmp_path / "z.npy"]).x, expected)
    np.save(tmp_path / "short.npy", np.ones(5))
    with pytest.raises(UserError, match=r"finite numbers of shape \(N, 12\)"):
        domain.read([tmp_path / "short.npy"])


def test_what_has_no_meaning_for_embeddings_is_an_error(case: Case, tmp_path: Path) -> None:
    model = polydiff.load(case[1])
    assert not any(provides(model.domain, ability) for ability in (HasUnits, HasRegions, HasMeasurements, Restores))
    given = model.domain.batch("test", range(2), streams(0, "augment", range(2)))
    with pytest.raises(UserError, match="cannot inpaint"):
        polydiff.inpaint(model, given, torch.ones_like(given.x))
    with pytest.raises(UserError, match="has no likelihood"):
        likelihood(model, 2)
    with pytest.raises(UserError, match=r"learn=match works on examples, not on codes"):
        trained_pair(model.config.domain, tmp_path / "a", case[2], codec=str(case[0]))


def test_verbs_write_vectors(case: Case, tmp_path: Path) -> None:
    run = case[1]
    for words in (
        ["sample", run, "-n", "3", "-o", tmp_path / "s"],
        ["sample", run, "-n", "3", "--one-file", "-o", tmp_path / "one"],
        ["vary", run, "-n", "2", "--steps", "4", "-o", tmp_path / "v"],
        ["interpolate", run, tmp_path / "s/sample-00000.npy", tmp_path / "s/sample-00001.npy", "-o", tmp_path / "i"],
        ["eval", run, "-n", "4"],
        ["report", run],
    ):
        assert main([str(word) for word in words]) == 0, words
    one = np.load(tmp_path / "s" / "sample-00002.npy")
    assert one.shape == (12,)
    assert np.array_equal(np.load(tmp_path / "one" / "samples.npz")["arr_0"][2], one)
    entry = json.loads((tmp_path / "s" / "manifest.json").read_text())["samples"][2]
    assert entry["cond"]["text"].startswith("a ")


def test_its_network_is_a_perceptron_unless_another_is_named(case: Case, tmp_path: Path) -> None:
    config = polydiff.load(case[1]).config
    assert config.backbone.name == "mlp"
    assert config.sample.guidance == 1
    values = {**TINY, **case[2], "codec": str(case[0]), "backbone.name": "unet"}
    with pytest.raises(UserError, match="this backbone accepts"):
        polydiff.train(config.domain, tmp_path / "a", overrides=values)


def test_drawn_embeddings_of_a_caption_have_the_mean_of_the_real_ones(tmp_path: Path) -> None:
    data = {**captioned("image", tmp_path / "data"), "train.checkpoint_every": 1000, "optim.lr": 3e-3}
    pair = trained_pair("image", tmp_path / "pair", data, **{"train.steps": 80})
    longer = {"train.steps": 500, "train.batch_size": 32, "train.ema": 0.98, "sample.steps": 20}
    model = polydiff.load(trained_prior("image", tmp_path / "prior", pair, data, **longer))
    n = model.domain.size("train")
    found = model.domain.batch("train", range(n), streams(0, "augment", range(n)))
    assert found.cond is not None
    texts = [row["text"] for row in model.domain.describe(found.cond)]
    for text in sorted({*texts}):
        real = found.x[[i for i, other in enumerate(texts) if other == text]]
        drawn = math.sqrt(12) * torch.stack(list(model.sample(64, cond={"text": text})))
        distance = (drawn.mean(0) - real.mean(0)).norm() / math.sqrt(12)
        apart = min((real.mean(0) - found.x[texts.index(o)]).norm() for o in {*texts} - {text}) / math.sqrt(12)
        assert distance < 0.25 * apart, (text, float(distance), float(apart))


def test_an_autoencoder_keeps_its_own_network(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    assert resolve("image", values={"codec": str(codec)}).config.backbone.name == "unet"


def test_scores_are_the_cosines_that_an_evaluation_averages(case: Case) -> None:
    domain = embedded(case[1])
    real = domain.examples("test", 8)
    scores = domain.scores(real)
    torch.testing.assert_close(float(scores.mean()), domain.evaluate(real)["text_cosine"].value, atol=1e-5, rtol=0)
    without = Samples(real.examples, withhold(real.cond, ["text"]))
    assert not domain.scores(without).any()
