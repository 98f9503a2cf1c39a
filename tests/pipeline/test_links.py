"""Stages that do not fit are found from their configurations, before any of them is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage_cases import captioned, trained_decoder, trained_pair, trained_prior

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.domains.image import SPEC
from polydiff.pipeline.file import pipeline_of
from polydiff.pipeline.folder import PipelineFolder
from polydiff.pipeline.links import Outline, UsedPair, links, misfit
from polydiff.pipeline.outlines import existing_stage
from polydiff.pipeline.train import planned, train_pipeline
from polydiff.support.errors import UserError

SHAPES = {"data.name": "shapes", "data.size": 32}
NOISE = [0.02, 1.0]
GREY = {"data__name": "folder", "data__path": "photos", "data__channels": 1}
CASCADE: dict[str, Any] = {
    "domain": "image",
    "common": SHAPES,
    "stages": {"base": {"data.shrink": 2}, "up": {"task": "upsample", "data.factor": 2, "data.noise": NOISE}},
    "sample": {"up": {"level": 0.1, "guidance": 1}},
}
SOUNDS: dict[str, Any] = {
    "domain": "audio",
    "stages": {"base": {"data.sample_rate": 4000, "data.length": 2048}, "up": {"task": "upsample"}},
}
UNCLIP: dict[str, Any] = {
    "domain": "image",
    "common": SHAPES,
    "stages": {
        "pair": {"learn": "match"},
        "other": {"learn": "match"},
        "prior": {"codec": "pair"},
        "decoder": {"tell.embedding": "pair"},
    },
    "sample": {"prior": {"of": 2}, "decoder": {"level": 0.1}},
}


def changed(case: dict[str, Any], stage: str, **keys: Any) -> dict[str, Any]:
    """A pipeline with other keys of a stage."""
    stages = case["stages"]
    return {
        **case,
        "stages": {**stages, stage: {**stages[stage], **{k.replace("__", "."): v for k, v in keys.items()}}},
    }


def plan(case: dict[str, Any], folder: Path) -> None:
    planned(PipelineFolder(folder / "out", pipeline_of(case, "my.yaml", folder)))


@pytest.mark.parametrize(
    "case",
    [CASCADE, SOUNDS, UNCLIP, *({"domain": "image", **preset} for preset in SPEC.pipelines.values())],
)
def test_stages_that_fit_are_planned(case: dict[str, Any], tmp_path: Path) -> None:
    plan(case, tmp_path)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (changed(CASCADE, "up", data__factor=4), r"enlarges 8 x 8 to 32 x 32 pixels, and the earlier stage draws 16"),
        (changed(CASCADE, "up", **GREY), "enlarges images of 1 channels, and the earlier stage draws images of 3"),
        (changed(CASCADE, "base", task="inpaint"), None),  # it draws whole images too
        (changed(CASCADE, "up", task="generate", data__noise=None), "No later stage takes the examples of stage base"),
        (changed(CASCADE, "up", data__noise=None), r"sample\.up: .*level of the noise is 0\.1, but .* without noise"),
        ({**CASCADE, "sample": {"up": {"level": 2}}}, r"sample\.up: .* trained with levels of up to 1 \(data\.noise\)"),
        ({**CASCADE, "sample": {"base": {"level": 1}}}, r"sample\.base: The stage follows no other, so level=1"),
        ({**CASCADE, "stages": {"up": CASCADE["stages"]["up"]}}, "up needs the examples of an earlier stage. None com"),
        (
            changed(SOUNDS, "base", data__sample_rate=2000),
            "4000 to 8000 Hz, and the earlier stage draws sounds of 2000",
        ),
        (changed(SOUNDS, "base", data__length=1024), "clips of 2048 to 4096 samples, and the earlier stage draws 1024"),
        (changed(SOUNDS, "up", task="vocode"), "up needs the examples of an earlier stage. .* it has task=vocode"),
        (
            changed(UNCLIP, "prior", codec="other"),
            "embeddings of tell.embedding=pair, and .* those of codec=other, whi",
        ),
        (changed(UNCLIP, "decoder", tell__embedding="prior"), "tell.embedding=prior has learn=denoise. It should"),
        (changed(UNCLIP, "decoder", codec="prior"), "codec=prior has learn=denoise. It should be a run with learn=enc"),
        ({**UNCLIP, "sample": {"decoder": {"level": 0.5}}}, r"sample\.decoder: .* from 0 to tell_noise=0\.1"),
        ({**UNCLIP, "sample": {"decoder": {"of": 2}}}, r"sample\.decoder: of=2 takes a stage in the codes of a contra"),
    ],
)
def test_stages_that_do_not_fit_are_errors_of_the_plan(
    case: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    if message is None:
        plan(case, tmp_path)
        return
    with pytest.raises(UserError, match=rf"my\.yaml: .*{message}"):
        plan(case, tmp_path)


def test_nothing_is_trained_by_python_or_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = changed(CASCADE, "up", data__factor=4)
    with pytest.raises(UserError, match=r"the pipeline: Stage up needs .*up cannot follow base: it enlarges 8 x 8"):
        train_pipeline(wrong, tmp_path / "out", progress=False)
    words = ["train", "--domain", "image", "--preset", "cascade", "--stage", "up.data.factor=4"]
    for more in (["-o", str(tmp_path / "out")], ["--dry-run"]):
        assert main([*words, *more]) == 2
        assert "up cannot follow base: it enlarges 8 x 8" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def outline(pair: str = "", takes: str = "", **values: Any) -> Outline:
    config = resolve("image", values={**SHAPES, **values}).config
    return Outline(
        config, UsedPair("codec=a", pair) if pair else None, [UsedPair("tell.embedding=b", takes)] if takes else []
    )


def test_equal_pairs_link_a_prior_and_its_decoder_whatever_their_sizes() -> None:
    prior, decoder, up = outline("x"), outline(takes="x", **{"data.shrink": 2}), outline(task="upsample")
    assert links({"prior": prior, "decoder": decoder, "up": up}) == {"decoder": "prior", "up": "decoder"}
    assert "which has other weights" in str(misfit(outline(takes="y"), prior))
    small = outline("x", **{"data.shrink": 2})  # embeddings of pictures that an upsampler takes are no pictures
    assert "is not conditioned on embeddings" in str(misfit(up, small))
    assert "draws embeddings" in str(misfit(small, outline()))


def test_a_decoder_follows_pictures_of_its_domain_and_one_that_enlarges_those_it_enlarges() -> None:
    decoder, enlarging = outline(takes="x"), outline(takes="x", task="upsample")
    assert misfit(decoder, outline(**{"data.shrink": 2})) is None
    assert misfit(enlarging, outline(**{"data.shrink": 2})) is None
    assert "enlarges 16 x 16" in str(misfit(enlarging, outline()))
    sounds = Outline(resolve("audio").config)
    assert "examples of the domain image, not audio" in str(misfit(decoder, sounds))


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("pairs")
    data = captioned("image", folder / "data")
    runs = [trained_pair("image", folder / f"pair-{seed}", data, seed=seed) for seed in (0, 1)]
    return lambda seed: (runs[seed], data)


def test_runs_that_exist_fit_by_the_weights_of_their_pairs(pair_of: Any, tmp_path: Path) -> None:
    """A run knows its pair by the copy that it keeps, so moving or copying the pair changes nothing."""
    pair, data = pair_of(0)
    runs = {
        "prior": trained_prior("image", tmp_path / "prior", pair, data),
        "decoder": trained_decoder("image", tmp_path / "decoder", pair, data),
        "other": trained_prior("image", tmp_path / "other", pair_of(1)[0], data),
    }
    for found in ({name: existing_stage(run) for name, run in runs.items()},
                  {name: Outline.of(polydiff.load(run)) for name, run in runs.items()}):  # fmt: skip
        assert misfit(found["decoder"], found["prior"]) is None
        assert "which has other weights" in str(misfit(found["decoder"], found["other"]))
    stages = {"old": {"run": str(runs["prior"])}, "new": {"tell.embedding": str(pair), **data}}
    plan({"domain": "image", "stages": stages}, tmp_path)
    with pytest.raises(UserError, match=r"my\.yaml: No later stage takes .* old\. new cannot follow old: .* weights"):
        plan({"domain": "image", "stages": {**stages, "old": {"run": str(runs["other"])}}}, tmp_path)
