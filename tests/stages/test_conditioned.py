"""The decoder: a diffusion of examples that is conditioned on their embeddings by a pair."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from stage_cases import CODEC, CaptionedPair, captioned, trained_codec, trained_decoder, trained_pair, trained_prior
from tiny_runs import assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.contract.abilities import HasUnits
from polydiff.contract.domain import Samples
from polydiff.contract.editing import HasMeasurements
from polydiff.contract.following import Follows
from polydiff.core.streams import streams
from polydiff.judging.evaluate import evaluate
from polydiff.stages.conditioned import Conditioned
from polydiff.stages.through import Through
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.testing import check_domain

Case = tuple[Path, Path, dict[str, Any]]
"""Runs of a pair and of a decoder, and the keys of their data."""
END = "a strong mark at the end"


@pytest.fixture(scope="module")
def case(captioned_pair: CaptionedPair, tmp_path_factory: pytest.TempPathFactory) -> Case:
    domain, pair, data = captioned_pair
    return pair, trained_decoder(domain, tmp_path_factory.mktemp("decoder") / domain, pair, data), data


def conditioned(run: Path) -> Conditioned:
    domain = polydiff.load(run).domain
    assert isinstance(domain, Conditioned)
    return domain


def embeddings(pair: Path, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return math.sqrt(12) * cast("torch.Tensor", polydiff.load(pair).denoiser.embed(x))


def text_embedding(pair: Path, text: str) -> torch.Tensor:
    model = polydiff.load(pair)
    cond = model.domain.blank(streams(0, "blank", [0]), {"text": text})[1]
    with torch.no_grad():
        return math.sqrt(12) * cast("torch.Tensor", model.denoiser.embed_text(cond, 1))


def test_a_held_out_example_has_its_embedding_to_the_bit(case: Case) -> None:
    found = conditioned(case[1]).batch("test", range(5), streams(0, "augment", range(5)))
    assert found.cond is not None
    assert torch.equal(found.cond["embedding"], embeddings(case[0], found.x))
    real = conditioned(case[1]).examples("test", 5)
    assert real.cond is not None
    torch.testing.assert_close(real.cond["embedding"].square().mean(1), torch.ones(len(real)))


def test_noise_is_drawn_by_each_examples_own_generator_with_the_stated_spread(case: Case) -> None:
    domain = conditioned(case[1])
    numbers = [0] * 600
    x, _, cond = domain.batch("train", numbers, streams(0, "augment", range(600)))
    assert cond is not None
    errors = cond["embedding"] - embeddings(case[0], x[:1])
    variance = float(errors.square().mean())  # E[s^2] = greatest^2 / 3 for s uniform
    assert variance == pytest.approx(0.1**2 / 3, rel=0.1)
    assert float(errors.square().mean(1).sqrt().amax()) < 0.1 * 2.2
    alone = domain.batch("train", [0], streams(0, "augment", [7])).cond
    assert alone is not None
    torch.testing.assert_close(alone["embedding"][0], cond["embedding"][7], atol=1e-5, rtol=1e-5)


def test_without_noise_training_examples_tell_their_embedding_to_the_bit(case: Case, tmp_path: Path) -> None:
    domain = polydiff.load(case[1]).config.domain
    run = trained_decoder(domain, tmp_path / "exact", case[0], case[2], tell_noise=0.0)
    found = conditioned(run).batch("train", range(5), streams(0, "augment", range(5)))
    assert found.cond is not None
    assert torch.equal(found.cond["embedding"], embeddings(case[0], found.x))


def test_new_samples_take_embedding_and_caption_of_one_training_example(case: Case) -> None:
    domain = conditioned(case[1])
    _, cond = domain.blank(streams(0, "blank", range(20)), {})
    assert cond is not None
    n = domain.size("train")
    known = domain.__wrapped__.batch("train", range(n), streams(0, "kept", range(n)))
    assert known.cond is not None
    distances, places = (cond["embedding"][:, None] - embeddings(case[0], known.x)).norm(dim=2).min(1)
    assert float(distances.max()) < 1e-4  # they are kept with six digits
    assert torch.equal(cond["text"], known.cond["text"][places])


def test_a_text_alone_gives_the_embedding_of_the_text(case: Case) -> None:
    domain, generators = conditioned(case[1]), streams(0, "blank", range(2))
    _, cond = domain.blank(generators, {"text": END})
    assert cond is not None
    expected = text_embedding(case[0], END)
    torch.testing.assert_close(cond["embedding"], expected.expand(2, -1))
    torch.testing.assert_close(polydiff.load(case[1]).conditions({"text": END}, 0, [0])["embedding"], expected)
    _, none = domain.blank(generators, {"text": END, "embedding": "any"})
    assert none is not None
    assert none["embedding"].isnan().all()
    assert torch.equal(none["text"], cond["text"])


def test_an_embedding_is_given_as_a_file_or_an_array_of_any_length(case: Case, tmp_path: Path) -> None:
    domain, generators = conditioned(case[1]), streams(0, "blank", range(2))
    z = text_embedding(case[0], END)
    np.save(tmp_path / "z.npy", 0.1 * z[0].numpy())
    for value in (3 * z[0], z.numpy(), str(tmp_path / "z.npy")):
        _, cond = domain.blank(generators, {"embedding": value})
        assert cond is not None
        torch.testing.assert_close(cond["embedding"], z.expand(2, -1))
        assert (cond["text"] == -1).all()  # withheld: a random text would contradict the embedding
    with pytest.raises(UserError, match="expected one embedding"):
        domain.blank(generators, {"embedding": torch.cat([z, z])})
    with pytest.raises(UserError, match="of zeros has no direction"):
        domain.blank(generators, {"embedding": torch.zeros(12)})


def test_guidance_withholds_the_embedding_and_the_text(case: Case) -> None:
    request = polydiff.load(case[1]).request({"text": END}, guidance=2.0)
    _, cond = request.blank(range(2), 0)
    weak = request.weak(cond, 0, range(2))
    assert weak is not None
    assert weak["embedding"].isnan().all()
    assert (weak["text"] == -1).all()


def test_it_is_resumed_to_the_same_bits_and_needs_no_pair(case: Case, tmp_path: Path) -> None:
    domain, data = polydiff.load(case[1]).config.domain, case[2]
    pair = shutil.copytree(case[0], tmp_path / "pair")
    whole = trained_decoder(domain, tmp_path / "whole", pair, data)
    with pytest.raises(KeyboardInterrupt):
        trained_decoder(domain, tmp_path / "cut", pair, data, progress=stop_at(5))
    before = [polydiff.load(whole).sample(3, cond=cond) for cond in (None, {"text": END})]
    shutil.rmtree(pair)
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))
    model = polydiff.load(shutil.move(whole, tmp_path / "moved"))
    for old, cond in zip(before, (None, {"text": END}), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old, model.sample(3, cond=cond), strict=True))


def test_a_changed_or_missing_copy_is_an_error_unless_the_weights_are_the_same(case: Case, tmp_path: Path) -> None:
    domain, data = polydiff.load(case[1]).config.domain, case[2]
    pair = shutil.copytree(case[0], tmp_path / "pair")
    run = trained_decoder(domain, tmp_path / "decoder", pair, data)
    before = polydiff.load(run).sample(2)
    path = run / "parts" / "tell-embedding" / "ema.safetensors"
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(UserError, match=r"ema\.safetensors does not match its manifest"):
        polydiff.load(run)
    shutil.rmtree(run / "parts")
    assert all(torch.equal(a, b) for a, b in zip(before, polydiff.load(run).sample(2), strict=True))
    polydiff.resume(pair, steps=13)
    with pytest.raises(UserError, match=r"is missing, and tell\.embedding=.* has other weights now"):
        polydiff.load(run)


def test_the_conformance_kit_accepts_it_as_it_accepts_the_domain(case: Case) -> None:
    config = polydiff.load(case[1]).config
    without = config.model_copy(update={"tell": {}})  # so few pictures have no metric, which the kit reports
    failed, known = ([c.name for c in check_domain(each, 8) if not c.passed] for each in (config, without))
    assert failed == known
    assert {*failed} <= {"judges"}


def test_the_abilities_of_its_examples_and_states_stay(case: Case) -> None:
    domain = conditioned(case[1])
    assert provides(domain, Follows)
    assert provides(domain, HasUnits) == provides(domain.__wrapped__, HasUnits)
    assert provides(domain, HasMeasurements) == provides(domain.__wrapped__, HasMeasurements)


def test_it_follows_a_prior_of_the_same_pair_and_examples_of_its_domain(case: Case, tmp_path: Path) -> None:
    domain, name, data = conditioned(case[1]), polydiff.load(case[1]).config.domain, case[2]
    prior = polydiff.load(trained_prior(name, tmp_path / "prior", case[0], data))
    drawn, generators = prior.sample(3), streams(0, "follow", range(3))
    vectors = torch.stack(list(drawn))
    found = domain.follow(drawn, generators)["embedding"]
    torch.testing.assert_close(found, math.sqrt(12) * vectors)
    torch.testing.assert_close(domain.follow(Samples([9 * one for one in drawn]), generators)["embedding"], found)
    noisy = domain.follow(drawn, streams(0, "follow", range(3)), 0.1)["embedding"] - found
    again = domain.follow(drawn, streams(0, "follow", range(3)), 0.05)["embedding"] - found
    torch.testing.assert_close(noisy, 2 * again, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match=r"from 0 to tell_noise=0\.1"):
        domain.follow(drawn, generators, 0.2)
    real = domain.examples("test", 3)
    assert real.cond is not None
    assert torch.equal(domain.follow(real, generators)["embedding"], real.cond["embedding"])


def test_it_combines_with_an_autoencoder(case: Case, tmp_path: Path) -> None:
    name, data = polydiff.load(case[1]).config.domain, case[2]
    codec = trained_codec(name, tmp_path / "ae", **data)
    run = trained_decoder(name, tmp_path / "latent", case[0], data, codec=str(codec))
    model = polydiff.load(run)
    domain = model.domain
    assert isinstance(domain, Through)
    found = domain.batch("test", range(3), streams(0, "augment", range(3)))
    plain = conditioned(case[1]).batch("test", range(3), streams(0, "augment", range(3)))
    assert found.cond is not None
    assert plain.cond is not None
    assert torch.equal(found.cond["embedding"], plain.cond["embedding"])
    assert found.space.dim[0] == found.x[0].numel()
    assert model.sample(2, cond={"text": END})[0].shape == plain.x.shape[1:]
    assert sorted(path.name for path in (run / "parts").iterdir()) == ["codec", "tell-embedding"]


def test_what_cannot_be_a_condition_is_an_error(case: Case, tmp_path: Path) -> None:
    name, data = polydiff.load(case[1]).config.domain, case[2]
    with pytest.raises(UserError, match="these data have a condition text already"):
        trained_decoder(name, tmp_path / "a", case[0], data, **{"tell.text": str(case[0])})
    with pytest.raises(UserError, match=r"learn=denoise\. It should be a run with learn=match"):
        trained_decoder(name, tmp_path / "b", case[1], data)
    with pytest.raises(UserError, match="there is no such run"):
        trained_decoder(name, tmp_path / "c", tmp_path / "nothing", data)
    if name == "audio":
        with pytest.raises(UserError, match="was trained without task=vocode, or on other data"):
            trained_decoder(name, tmp_path / "e", case[0], data, task="vocode")
    with pytest.raises(UserError, match=r"learn=encode generates nothing from embeddings"):
        polydiff.train(name, tmp_path / "d", overrides={**CODEC, **data, "tell.embedding": str(case[0])})


def test_a_run_cannot_start_from_one_of_other_embeddings(case: Case, tmp_path: Path) -> None:
    name, data = polydiff.load(case[1]).config.domain, case[2]
    other = trained_pair(name, tmp_path / "pair", data, seed=1)
    with pytest.raises(UserError, match=r"its tell\.embedding is not that of this run"):
        trained_decoder(name, tmp_path / "b", other, data, **{"train.init": str(case[1])})
    again = trained_decoder(name, tmp_path / "c", case[0], data, **{"train.init": str(case[1])})
    assert polydiff.load(again).domain.statistics == polydiff.load(case[1]).domain.statistics


def test_verbs_work_with_embeddings_as_conditions(case: Case, tmp_path: Path) -> None:
    run = case[1]
    for words in (
        ["sample", run, "-n", "2", "--guidance", "2", "-o", tmp_path / "s"],
        ["vary", run, "-n", "2", "--steps", "4", "-o", tmp_path / "v"],
        ["eval", run, "-n", "4"],
        ["report", run],
    ):
        assert main([str(word) for word in words]) == 0, words
    made = next(path for path in sorted((tmp_path / "s").iterdir()) if path.name.startswith("sample-00000"))
    words = ["sample", run, "-n", "2", "--cond", f"embedding={made}", "-o", tmp_path / "again"]
    assert main([str(word) for word in words]) == 0


def test_upsampling_may_be_conditioned_on_the_embedding_too(tmp_path: Path) -> None:
    data = captioned("image", tmp_path / "data")
    pair = trained_pair("image", tmp_path / "pair", data)
    run = trained_decoder("image", tmp_path / "up", pair, data, task="upsample")
    found = polydiff.load(run).domain.batch("test", range(2), streams(0, "augment", range(2)))
    assert found.cond is not None
    assert {"low", "text", "embedding"} <= found.cond.keys()
    assert evaluate(polydiff.load(run), 4)["metrics"]


def test_scenes_are_judged_under_true_embeddings_and_under_those_of_their_texts(tmp_path: Path) -> None:
    data = {"data.name": "shapes", "backbone.patch": 4, "train.steps": 2, "train.batch_size": 4}
    pair = trained_pair("image", tmp_path / "pair", data)
    domain = conditioned(trained_decoder("image", tmp_path / "decoder", pair, {**data, "backbone.blocks": 1}))
    assert domain.prompts == {
        "test": "", "unseen": "unseen_", "test by text": "by_text_", "unseen by text": "by_text_unseen_",
    }  # fmt: skip
    true, by_text = domain.examples("test", 4), domain.examples("test by text", 4)
    assert true.cond is not None
    assert by_text.cond is not None
    assert torch.equal(true.cond["text"], by_text.cond["text"])
    assert all(torch.equal(a, b) for a, b in zip(true, by_text, strict=True))
    words = str(domain.describe(by_text.cond)[2]["text"])
    torch.testing.assert_close(by_text.cond["embedding"][2:3], text_embedding(pair, words))
    assert domain.agreement(true)["all_right"].value == 1
