"""Samples that a model returned: saved, shown, converted, indexed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_plugins import install_ring
from PIL import Image
from repository import ROOT

import polydiff
from polydiff.contract.domain import Samples
from polydiff.model.edit import vary
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.training.trainer import train

DOMAINS = ("image", "audio", "molecule")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: Model.load(ROOT / "tests" / "golden" / name / "step-00000050", device="cpu") for name in DOMAINS}


@pytest.fixture(scope="module")
def drawn(models: dict[str, Model]) -> dict[str, Samples]:
    return {name: model.sample(3, seed=5, steps=3, sampler="ddim") for name, model in models.items()}


@pytest.mark.parametrize("name", DOMAINS)
def test_repr_is_one_short_line_with_domain_count_sampler_steps_and_seed(name: str, drawn: dict[str, Samples]) -> None:
    text = repr(drawn[name])
    assert text.startswith(f"<3 samples of the domain {name}: sampler ddim, steps 3, seed 5")
    assert len(text) < 200
    assert "\n" not in text


@pytest.mark.parametrize("name", DOMAINS)
def test_notebook_shows_what_the_domain_shows(name: str, models: dict[str, Model], drawn: dict[str, Samples]) -> None:
    shown = drawn[name]._repr_html_()
    assert shown is not None
    assert models[name].domain.show(drawn[name]) in shown


@pytest.mark.parametrize("name", DOMAINS)
def test_save_writes_a_file_for_each_sample_with_manifest_and_page(
    name: str, drawn: dict[str, Samples], tmp_path: Path
) -> None:
    folder = drawn[name].save(tmp_path / "made")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["seed"], manifest["sampler"], manifest["steps"], manifest["domain"]) == (5, "ddim", 3, name)
    assert [(folder / entry["file"]).stat().st_size > 0 for entry in manifest["samples"]] == [True] * 3
    assert (folder / "show.html").read_text().startswith("<!doctype html>")


def test_save_changes_no_folder_that_holds_files(
    drawn: dict[str, Samples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for folder in (".", tmp_path, str(tmp_path), tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="is not an empty folder"):
            drawn["image"].save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (drawn["image"].save("empty") / "manifest.json").is_file()


def test_images_convert_to_arrays_and_to_pictures_of_the_same_pixels(drawn: dict[str, Samples]) -> None:
    pixels, pictures = drawn["image"].to_numpy(), drawn["image"].to_pil()
    assert pixels.shape == (3, 8, 8, 1)
    assert pixels.dtype == np.uint8
    assert all(isinstance(picture, Image.Image) for picture in pictures)
    np.testing.assert_array_equal(np.stack([np.asarray(picture) for picture in pictures]), pixels[..., 0])
    np.testing.assert_array_equal(torch.stack(list(drawn["image"])).numpy(), pixels.transpose(0, 3, 1, 2))


def test_sounds_convert_to_arrays_of_samples_and_channels(drawn: dict[str, Samples]) -> None:
    sounds = drawn["audio"].to_numpy()
    assert sounds.shape == (3, 512, 1)
    np.testing.assert_array_equal(sounds[1, :, 0], drawn["audio"][1][0].numpy())


def test_molecules_convert_to_rdkit_with_their_positions(models: dict[str, Model]) -> None:
    real = models["molecule"].domain.examples("test", 3)
    samples = Samples(real.examples, real.cond, models["molecule"].noise(1).origin)
    for (numbers, positions), molecule in zip(samples.to_numpy(), samples.to_rdkit(), strict=True):
        assert sorted(atom.GetAtomicNum() for atom in molecule.GetAtoms()) == sorted(numbers.tolist())
        np.testing.assert_allclose(molecule.GetConformer().GetPositions(), positions, atol=1e-4)


def test_a_picture_of_samples_shows_each_of_them(drawn: dict[str, Samples]) -> None:
    sheets = {name: np.asarray(Image.open(io.BytesIO(drawn[name].to("png"))).convert("RGB")) for name in DOMAINS}
    for i, image in enumerate(drawn["image"]):  # 8 pixels wide, enlarged 8 times, 4 pixels apart
        cell = sheets["image"][:64, 68 * i : 68 * i + 64]
        assert np.array_equal(cell[4::8, 4::8, 0], image[0].numpy())
        assert np.array_equal(cell, cell[::8, ::8].repeat(8, 0).repeat(8, 1))
    sounds = [sheets["audio"][:, 326 * i : 326 * i + 320] for i in range(3)]
    assert sheets["audio"].shape[1] == 3 * 326 - 6
    assert not np.array_equal(sounds[0], sounds[1])
    assert all((sheets["molecule"][:, 300 * i : 300 * (i + 1)] < 128).any() for i in range(3))  # ink in each cell


@pytest.mark.parametrize(
    ("name", "kind", "known"),
    [("image", "rdkit", "numpy, pil"), ("audio", "pil", "numpy"), ("molecule", "pil", "rdkit")],
)
def test_conversion_that_a_domain_lacks_is_an_error_that_lists_those_it_has(
    name: str, kind: str, known: str, drawn: dict[str, Samples]
) -> None:
    with pytest.raises(UserError, match=f"domain {name} converts samples to .*{known}.*, not to {kind}"):
        getattr(drawn[name], f"to_{kind}")()


def test_conversion_of_examples_of_several_shapes_to_one_array_is_an_error(drawn: dict[str, Samples]) -> None:
    mixed = Samples([torch.zeros(1, 4), torch.zeros(1, 5)], None, drawn["audio"].origin)
    with pytest.raises(UserError, match="numpy"):
        mixed.to_numpy()


def test_domain_without_conversions_is_an_error_and_one_with_its_own_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_ring(tmp_path, monkeypatch)
    model = polydiff.load(train("ring", tmp_path / "run", overrides={"train.steps": 2, "train.batch_size": 4}))
    samples = model.sample(2)
    with pytest.raises(UserError, match=r"domain ring converts samples to no other form"):
        samples.to_numpy()
    converters: dict[str, Any] = {"list": lambda examples: [example.tolist() for example in examples]}
    monkeypatch.setattr(type(model.domain), "converters", lambda self: converters, raising=False)
    assert samples.to("list") == [example.tolist() for example in samples]
    assert (samples.save(tmp_path / "made") / "show.html").is_file()


def test_indexing_gives_examples_and_slicing_gives_samples(drawn: dict[str, Samples]) -> None:
    samples = drawn["image"]
    assert samples[-1] is samples.examples[-1]
    part = samples[1:]
    assert isinstance(part, Samples)
    assert len(part) == 2
    assert part.origin is samples.origin
    assert torch.equal(part.cond["label"], samples.cond["label"][1:])  # type: ignore[index]
    assert [id(example) for example in samples] == [id(example) for example in samples.examples]
    with pytest.raises(IndexError):
        samples[3]


def test_edits_state_what_they_did(models: dict[str, Model]) -> None:
    model = models["image"]
    given = model.domain.batch("test", range(2), polydiff.streams(0, "augment", range(2)))
    varied = vary(model, given, strength=0.25, seed=9, steps=4, cond={"label": 3})
    assert varied.origin is not None
    facts = varied.origin.facts
    assert (facts["strength"], facts["seed"], facts["steps"], facts["requested"]) == (0.25, 9, 4, {"label": 3})


def test_samples_of_unknown_origin_say_what_to_do(models: dict[str, Model], tmp_path: Path) -> None:
    real = models["image"].domain.examples("test", 2)
    assert real._repr_html_() is None
    assert "2 samples" in repr(real)
    for use in (lambda: real.save(tmp_path / "x"), real.to_numpy):
        with pytest.raises(UserError, match=r"model\.domain\.save"):
            use()
    assert not (tmp_path / "x").exists()


def test_joined_samples_keep_an_origin_that_all_share(models: dict[str, Model], drawn: dict[str, Samples]) -> None:
    samples = drawn["image"]
    assert Samples.join([samples[:1], samples[1:]]).origin is samples.origin
    assert Samples.join([samples, models["image"].sample(1, seed=6, steps=3)]).origin is None


@pytest.mark.parametrize("name", DOMAINS)
def test_conditions_are_in_the_words_of_the_user(
    name: str, models: dict[str, Model], drawn: dict[str, Samples]
) -> None:
    samples = drawn[name]
    assert samples.cond is not None
    assert samples.conditions == models[name].domain.describe(samples.cond)
    assert len(samples[:2].conditions) == 2
    assert Samples([1, 2]).conditions == [{}, {}]
    with pytest.raises(UserError, match="can be described"):
        _ = Samples([1], {"label": torch.zeros(1)}).conditions


def test_conditions_that_were_requested_come_back(models: dict[str, Model]) -> None:
    found = models["molecule"].sample(2, cond={"logp": 1.5}, steps=2).conditions
    assert [float(one["logp"]) for one in found] == pytest.approx([1.5, 1.5], abs=0.01)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_model_is_shown_on_one_line(name: str, models: dict[str, Model]) -> None:
    text = repr(models[name])
    assert text.startswith(f"<model of the domain {name}: process gaussian, ")
    assert "weights, step 50, ema, on cpu>" in text
    assert "\n" not in text
    assert len(text) < 200


def test_molecules_that_cannot_be_converted_are_counted(models: dict[str, Model]) -> None:
    noise = models["molecule"].noise(3)
    with pytest.warns(UserWarning, match="Conversion to rdkit: 3 of 3 samples cannot be converted; they are None"):
        assert noise.to_rdkit() == [None] * 3


def test_a_missing_conversion_lists_those_that_exist(drawn: dict[str, Samples]) -> None:
    with pytest.raises(UserError, match=r"domain audio converts samples to numpy, png, not to pil\. `samples\.save"):
        drawn["audio"].to_pil()
    with pytest.raises(UserError, match="Did you mean 'numpy'"):
        drawn["image"].to("nunpy")


@pytest.mark.parametrize("name", ["image", "audio"])
def test_channels_are_first_in_an_example_and_last_in_arrays(name: str, drawn: dict[str, Samples]) -> None:
    example, array = drawn[name][0], drawn[name].to_numpy()[0]
    assert np.array_equal(np.moveaxis(example.numpy(), 0, -1), array)
