"""Processes of letters from end to end: images as grey levels, and a kernel of a third party."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from repository import ROOT
from tiny_runs import SMALL_NETS, TINY, assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.cli.printing.tables import sampling_words
from polydiff.config.merge import resolve
from polydiff.config.processes import register_built_in
from polydiff.contract.discover import build_domain
from polydiff.core import extensions
from polydiff.core.process.process import PROCESSES
from polydiff.judging.likelihood import likelihood
from polydiff.judging.result import sampling_facts
from polydiff.parts.kernel import KERNELS
from polydiff.support.errors import UserError
from polydiff.training.steps import begin

SETTINGS = {**TINY, **SMALL_NETS["image"]}


@pytest.fixture
def fading() -> Iterator[None]:
    path = str(ROOT / "examples" / "fading_pixels.py")
    register_built_in()
    with PROCESSES.temporary(), KERNELS.temporary():
        extensions.load(path)
        yield
    del extensions._loaded[extensions.key_of(path)]


@pytest.fixture(scope="module", params=["masked", "uniform", "marginal"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> polydiff.Model:
    folder = tmp_path_factory.mktemp(request.param)
    run = polydiff.train("image", folder / "run", overrides={**SETTINGS, "process": request.param})
    return polydiff.load(run)


def test_samples_are_grey_levels_of_the_data_and_depend_on_their_numbers_alone(model: polydiff.Model) -> None:
    samples = torch.stack(list(model.sample(6, seed=1, steps=4, batch_size=6).examples))
    assert set(samples.unique().tolist()) <= set(model.domain.statistics["greys"])
    some = torch.stack([e for part in model.stream(3, first=2, seed=1, steps=4, batch_size=1) for e in part.examples])
    assert torch.equal(some, samples[2:5])


def test_known_pixels_stay_and_a_variation_begins_at_the_given_image(model: polydiff.Model) -> None:
    given = model.domain.batch("test", range(3), polydiff.streams(0, "augment", range(3)))
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., :5] = True
    real = model.domain.decode(given.x, given.space)
    made = polydiff.inpaint(model, given, mask, steps=3).examples
    for a, b in zip(real, made, strict=True):
        assert torch.equal(a[..., :5], b[..., :5])
    near = polydiff.vary(model, given, strength=0.1, steps=3).examples
    far = polydiff.vary(model, given, strength=1.0, steps=3).examples
    same = [sum(int((a == b).sum()) for a, b in zip(real, each, strict=True)) for each in (near, far)]
    assert same[0] > same[1]
    assert same[0] > 0.6 * 3 * 64


def test_what_has_no_meaning_for_letters_is_an_error(model: polydiff.Model) -> None:
    given = model.domain.batch("test", range(2), polydiff.streams(0, "augment", range(2)))
    name = model.config.process
    with pytest.raises(UserError, match=f"process={name}: this process cannot interpolate"):
        polydiff.interpolate(model, given, given, [0.5])
    with pytest.raises(UserError, match="ddim"):
        model.sample(1, sampler="ddim")
    with pytest.raises(UserError, match="does not use sample"):
        model.sample(1, guidance_method="apg")


def test_a_run_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    settings = {**SETTINGS, "process": "masked"}
    whole = polydiff.train("image", tmp_path / "whole", overrides=settings)
    with pytest.raises(KeyboardInterrupt):
        polydiff.train("image", tmp_path / "cut", overrides=settings, progress=stop_at(5))
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


def test_the_bound_of_an_untrained_network_is_that_of_even_letters() -> None:
    """An output layer of zeros says that all letters are equally likely: the bound is log K a site, exactly."""
    settings = resolve("image", values={**SETTINGS, "process": "masked"})
    domain = build_domain(settings.config)
    network = begin(settings.config, domain).module
    model = polydiff.Model(settings.config, domain, network.eval())
    found = likelihood(model, 4, ["vlb", "chain"], draws=64, progress=False)
    letters = len(domain.statistics["greys"])
    for bound in found["likelihood"].values():
        assert bound["nats_per_dim"] == pytest.approx(torch.tensor(letters).log().item(), rel=0.1)


def test_a_kernel_of_a_third_party_trains_samples_and_is_judged(
    fading: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [f"{key}={value}" for key, value in {**SETTINGS, "process": "fading"}.items()]
    assert main(["train", "--domain", "image", *settings, "--judge", "8"]) == 0
    assert main(["sample", "runs/image-001", "-n", "3", "-o", "out"]) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert main(["eval", "runs/image-001", "--likelihood", "vlb", "-n", "4"]) == 0
    config = (tmp_path / "runs" / "image-001" / "config.resolved.yaml").read_text()
    assert "schedule: cosine  # process fading" in config


def test_a_process_of_letters_needs_data_that_are_letters() -> None:
    with pytest.raises(UserError, match="process=masked needs states that are letters"):
        polydiff.train("audio", "/nowhere", overrides={**TINY, **SMALL_NETS["audio"], "process": "masked"})


def test_choosing_the_gaussian_process_again_removes_the_defaults_of_letters(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("domain: image\nprocess: masked\n")
    config = resolve(files=[file], values={"process": "gaussian"}).config
    assert config.schedule == "edm"
    assert config.sample.sampler != "ancestral"


def test_an_evaluation_prints_the_temperature(
    model: polydiff.Model,
) -> None:
    request = model.request(sampler="ancestral", steps=3, options={"temperature": 0.9})
    assert sampling_words(sampling_facts(request)) == "ancestral, temperature=0.9, 3 steps (6 evaluations)"


@pytest.mark.parametrize(("options", "message"), [({"temperature": 0.0}, "temperature=0"), ({"top_p": 5.0}, "top_p=5")])
def test_laws_that_cannot_be_drawn_from_are_errors(model: polydiff.Model, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        model.sample(1, steps=2, options=options)


@pytest.mark.parametrize("sampler", ["first_hitting", "confident", "remask"])
def test_samplers_of_masks_are_for_masks_alone(model: polydiff.Model, sampler: str) -> None:
    if model.config.process == "masked":
        assert len(model.sample(2, steps=2, sampler=sampler)) == 2
    else:
        with pytest.raises(UserError, match=f"Unknown sampler of replaced letters '{sampler}'"):
            model.sample(2, steps=2, sampler=sampler)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"process": "masked", "coupling.given": 0.5, "coupling.same": 0.5}, "does not use coupling"),
        ({"process": "gaussian", "parts.x.process": "masked"}, "does not use parts"),
        ({"process": "gaussian", "data.greys": 4}, "does not use data.greys"),
        ({"process": "masked", "sample.guidance_interval": [5, 0.3]}, "a low and a higher level"),
    ],
)
def test_keys_without_effect_are_errors(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        polydiff.train("image", tmp_path / "run", overrides={**SETTINGS, **settings})


@pytest.mark.parametrize("schedule", ["linear", "cosine", "poly"])
def test_the_bound_is_finite_for_every_schedule(schedule: str, tmp_path: Path) -> None:
    """Times near the prior are drawn, where a schedule may round the level to 1."""
    for process in ("masked", "uniform"):
        settings = {**SETTINGS, "process": process, "schedule": schedule}
        model = polydiff.load(polydiff.train("image", tmp_path / f"{process}", overrides=settings))
        found = likelihood(model, 64, ["vlb"], draws=64, progress=False)["likelihood"]["vlb"]
        assert found["nats"] is not None
        assert found["nats"] > 0
