"""Runs and pipelines of diffusers draw the same images, from the same noise, in both directions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.ddim import pipeline_ddim
from diffusers_cases import EMBEDS, captioned
from PIL import Image
from torch import Tensor
from untrained import UNET, untrained

import polydiff
from polydiff.cli import main
from polydiff.core.streams import streams

N = 3
TINY = {
    "backbone.name": "diffusers",
    "backbone.arguments": {"block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4},
    "data.standardise": False,
}
LINEAR = {"schedule": "linear", "schedule_options": {}}


def ours(model: polydiff.Model, steps: int, cond: dict[str, Any] | None = None, **how: Any) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] by DDIM at the timesteps of the scheduler, and the first states, of unit variance."""
    space, known = model.domain.blank(streams(0, "blank", range(N)), cond or {})
    plan = model.plan(**{"sampler": "ddim", "steps": steps, "spacing": "timesteps", "guidance": 1.0, **how})
    x = model.states(space, known, 0, range(N), plan)
    return (x / 2 + 0.5).clamp(0, 1), first_states(model, plan)


def first_states(model: polydiff.Model, plan: Any) -> Tensor:
    """The states at the highest noise level of a plan, in the scale of diffusers."""
    s = model.process.plan(model, plan).levels[0]  # type: ignore[attr-defined]
    space, _ = model.domain.blank(streams(0, "blank", range(N)), {})
    return space.noise(streams(0, "sample", range(N))) * s / (1 + s**2) ** 0.5


def theirs(pipeline: Any, noise: Tensor, steps: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Images in [0, 1] by a pipeline of diffusers from this noise."""
    monkeypatch.setattr(pipeline_ddim, "randn_tensor", lambda *_, **__: noise)
    pipeline.set_progress_bar_config(disable=True)
    images: Tensor = pipeline(batch_size=N, num_inference_steps=steps, output_type="pt").images
    return images


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": "linear", "schedule_options": {"beta_T": 0.004}, "target": "eps"},
        {"schedule": "scaled_linear", "schedule_options": {"T": 500}, "target": "v"},
        {"schedule": "cosine_betas", "schedule_options": {}, "target": "x0"},
        {},  # the defaults of images: schedule and target edm
    ],
    ids=["eps", "v", "x0", "edm"],
)
def test_an_exported_run_draws_the_same_images_in_diffusers(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = untrained(tmp_path / "run", "image", **TINY, **values), tmp_path / "pipeline"
    assert main(["export", str(run), "--format", "diffusers", "-o", str(folder), "--cond", "label=7"]) == 0
    images, noise = ours(polydiff.load(run), 10, {"label": "7"}, spacing_options={"place": "trailing"})
    pipeline = diffusers.DDIMPipeline.from_pretrained(folder)
    torch.testing.assert_close(theirs(pipeline, noise, 10, monkeypatch), images, atol=1e-4, rtol=0)
    assert images.std() > 0.05
    ancestral = diffusers.DDPMPipeline.from_pretrained(folder)
    assert isinstance(ancestral.scheduler, diffusers.DDPMScheduler)


def test_classes_stay_an_input_of_a_pipeline_with_guidance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, folder = untrained(tmp_path / "run", "image", **TINY, **LINEAR, target="v"), tmp_path / "pipeline"
    assert main(["export", str(run), "--format", "diffusers", "-o", str(folder)]) == 0
    how: dict[str, Any] = {"spacing_options": {"place": "trailing"}, "guidance": 2.0}
    images, noise = ours(polydiff.load(run), 5, {"label": "3"}, **how)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, custom_pipeline=str(folder), trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setitem(type(pipeline).__call__.__wrapped__.__globals__, "randn_tensor", lambda *_, **__: noise)
    found = pipeline([3] * N, guidance_scale=2.0, num_inference_steps=5, output_type="pt").images
    torch.testing.assert_close(found, images, atol=1e-4, rtol=0)
    for labels in ([3, 10], [-2], []):
        with pytest.raises(ValueError, match="should be classes from 0 to 9, or -1 for none"):
            pipeline(labels)


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        ({"backbone.channels": 16}, [], "backbone.name=unet: diffusers has no such network. Train with"),
        ({**TINY, "data.standardise": True}, [], "Train with data.standardise=false"),
        ({**TINY, "target": "flow"}, [], "Train with target=v"),
        (TINY, ["--cond", "label=12"], "Unknown label '12'"),
    ],
)
def test_what_diffusers_cannot_express_is_an_error(
    values: dict[str, Any], words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained(tmp_path / "run", "image", **values)
    assert main(["export", str(run), "--format", "diffusers", "-o", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def saved_pipeline(folder: Path, network: Any, **scheduler: Any) -> Any:
    """A pipeline of random weights in a folder."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    made = diffusers.DDIMScheduler(clip_sample=False, **scheduler)
    pipeline = diffusers.DDIMPipeline(unet=network, scheduler=made)
    pipeline.save_pretrained(folder)
    return pipeline


@pytest.mark.parametrize(
    "scheduler",
    [
        {"beta_schedule": "linear", "beta_end": 0.004, "prediction_type": "epsilon"},
        {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012, "prediction_type": "v_prediction"},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "num_train_timesteps": 200},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        {"beta_end": 0.004, "steps_offset": 1},
    ],
    ids=["linear", "scaled_linear", "cosine", "zero_snr", "offset"],
)
def test_an_imported_pipeline_draws_the_same_images_here(
    scheduler: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = tmp_path / "pipeline", tmp_path / "run"
    pipeline = saved_pipeline(folder, diffusers.UNet2DModel(**UNET), **scheduler)
    assert main(["import", str(folder), "-o", str(run)]) == 0
    model = polydiff.load(run)
    sample = model.config.sample
    assert (sample.sampler, sample.spacing) == ("ddim", "timesteps")
    space, known = model.domain.blank(streams(0, "blank", range(N)), {})
    plan = model.plan(steps=10)
    x = model.states(space, known, 0, range(N), plan)
    found = theirs(pipeline, first_states(model, plan), 10, monkeypatch)
    torch.testing.assert_close(found, (x / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=0)
    assert found.std() > 0.05


def test_an_imported_network_has_the_classes_of_its_pipeline(tmp_path: Path) -> None:
    """Its classes are 0 to 9, as digits have; the class that is not given is new."""
    folder, run = tmp_path / "pipeline", tmp_path / "run"
    unet = diffusers.UNet2DModel(**{**UNET, "in_channels": 1, "out_channels": 1}, num_class_embeds=10)
    saved_pipeline(folder, unet)
    assert main(["import", str(folder), "-o", str(run), "data.name=digits", "data.path=null"]) == 0
    model = polydiff.load(run)
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0, 20.0])
    backbone, log_sigma = model.denoiser.backbone, -model.denoiser.schedule.log_snr(t / 999) / 2
    label = torch.tensor([3, 8])
    space, _ = model.domain.blank(streams(0, "blank", range(2)), {})
    with torch.no_grad():
        found = backbone(x, log_sigma.float(), space, {"label": label})
        torch.testing.assert_close(found, unet(x, t, class_labels=label).sample, atol=1e-4, rtol=1e-4)
        assert torch.isfinite(backbone(x, log_sigma.float(), space, None)).all()


def test_a_transformer_is_imported(tmp_path: Path) -> None:
    """Of two outputs, the second, a variance, is left out."""
    folder, run = tmp_path / "pipeline", tmp_path / "run"
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=3, out_channels=6, num_layers=1, sample_size=8,
        patch_size=2, num_embeds_ada_norm=5,
    ).eval()  # fmt: skip
    transformer.save_pretrained(folder / "transformer")
    diffusers.DDIMScheduler().save_pretrained(folder / "scheduler")
    assert main(["import", str(folder), "-o", str(run)]) == 0
    model = polydiff.load(run)
    x, t, label = torch.randn(2, 3, 8, 8), torch.tensor([700, 3]), torch.tensor([4, 0])
    log_sigma = -model.denoiser.schedule.log_snr(t / 999) / 2
    space, _ = model.domain.blank(streams(0, "blank", range(2)), {})
    with torch.no_grad():
        found = model.denoiser.backbone(x, log_sigma.float(), space, {"label": label})
        truth = transformer(x, t, class_labels=label).sample[:, :3]
    torch.testing.assert_close(found, truth, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [None, 5])
def test_a_network_of_embeddings_is_imported_sampled_judged_and_trained_further(
    classes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimates are those of the network itself on its encoder_hidden_states; without them, on a token of zeros."""
    monkeypatch.chdir(tmp_path)
    unet = diffusers.UNet2DConditionModel(**EMBEDS, num_class_embeds=classes).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    unet.save_pretrained("pipeline/unet")
    diffusers.DDIMScheduler(clip_sample=False).save_pretrained("pipeline/scheduler")
    keys = [] if classes else [f"data.path={captioned(tmp_path / 'photos', 24)}"]
    assert main(["import", "pipeline", "-o", "run", *keys]) == 0
    model = polydiff.load("run")
    x, t = torch.randn(3, 3, 8, 8, generator=generator), torch.tensor([700, 3, 250])
    label = torch.tensor([4, 0, 2])
    hidden = torch.randn(3, 4, 6, generator=generator)
    short = hidden.clone()
    short[1, 2:] = torch.nan  # a text of two tokens
    log_sigma, backbone = (-model.denoiser.schedule.log_snr(t / 999) / 2).float(), model.denoiser.backbone
    space, _ = model.domain.blank(streams(0, "blank", range(3)), {})
    known = {"label": label} if classes else {}
    with torch.no_grad():
        for value, truth in ((hidden, hidden), (None, torch.zeros(3, 1, 6))):
            cond = known if value is None else {**known, "embedding": value}
            found = backbone(x, log_sigma, space, cond)
            wanted = unet(x, t, truth, class_labels=label if classes else None).sample
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        found = backbone(x, log_sigma, space, {**known, "embedding": short})
        alone = unet(x[1:2], t[1:2], hidden[1:2, :2], class_labels=label[1:2] if classes else None).sample
        torch.testing.assert_close(found[1:2], alone, atol=1e-4, rtol=1e-4)
        assert (alone - wanted[1:2]).abs().max() > 1e-3
    np.save("one.npy", hidden[0].numpy())
    cond = ["embedding=one.npy", *(["label=2"] if classes else [])]
    drawn = ["sample", "run", "-n", "2", "--steps", "3", *(word for one in cond for word in ("--cond", one))]
    guided = ["--guidance", "3", *(word for one in cond for word in ("--negative", one))]
    assert main([*drawn, "-o", "plain"]) == 0
    assert main([*drawn, "-o", "guided", *guided]) == 0
    for name in ("sample-00000.png", "sample-00001.png"):  # guided away from the same condition: not at all
        one, other = (np.asarray(Image.open(Path(folder, name))).astype(int) for folder in ("guided", "plain"))
        assert abs(one - other).max() <= 1
    if classes:
        return
    assert main(["eval", "run", "-n", "4", "--steps", "2"]) == 0
    few = ["train.steps=1", "train.batch_size=4", "--judge", "0"]
    assert main(["train", "-c", "run/config.input.yaml", "train.init=run", "-o", "further", *few]) == 0
    further = polydiff.load("further")
    assert further.domain.statistics["conditions"]["embedding"]["scale"] == 1
    arrays = [torch.from_numpy(np.load(path)) for path in Path("photos").glob("*.npy")]
    batch = further.domain.batch("train", range(3), streams(0, "batch", range(3)))
    for row in (batch.cond or {})["embedding"]:  # as they are, not standardised
        assert any(torch.equal(row[~row.isnan().any(1)], array) for array in arrays)


def test_what_cannot_be_imported_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)

    def refused() -> str:
        assert main(["import", str(folder), "-o", str(tmp_path / "run")]) == 2
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    assert "is no pipeline of diffusers" in refused()
    (folder / "unet" / "config.json").write_text(json.dumps({"_class_name": "UNet3DConditionModel"}))
    assert "is a UNet3DConditionModel; only UNet2DModel, UNet2DConditionModel and" in refused()
    saved_pipeline(folder, diffusers.UNet2DModel(**UNET), trained_betas=[0.01, 0.02, 0.03])
    assert "betas of its own" in refused()
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    assert "has no betas" in refused()
    damaged = {"_class_name": "DDIMScheduler", "num_train_timesteps": "abc"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(damaged))
    assert "cannot be used by DDIMScheduler" in refused()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    assert "names no scheduler" in refused()
    saved_pipeline(folder, diffusers.UNet2DModel(**UNET), thresholding=True)
    assert "thresholding=true, which has no counterpart" in refused()
    saved_pipeline(folder, diffusers.UNet2DModel(**UNET))
    for key in ("target=v", "schedule=edm", "data.channels=3"):
        assert main(["import", str(folder), "-o", str(tmp_path / "run"), key]) == 2
        assert f"{key.partition('=')[0]} follows from" in capsys.readouterr().err
    shutil.rmtree(folder / "unet")
    large = {"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": 20}
    diffusers.UNet2DConditionModel(**EMBEDS, **large, addition_time_embed_dim=4).save_pretrained(folder / "unet")
    assert f"{folder}: arguments.addition_embed_type is not supported: a network here receives" in refused()
    (folder / "model_index.json").write_text(json.dumps({"vae": ["diffusers", "AutoencoderKL"]}))
    assert "works with vae" in refused()


@pytest.mark.parametrize("place", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_steps_at_timesteps_are_those_of_diffusers(place: str, steps: int) -> None:
    from polydiff.gaussian.sampling.spacing import noise_levels
    from polydiff.gaussian.schedule.base import SCHEDULES

    scheduler = diffusers.DDIMScheduler(timestep_spacing=place)
    scheduler.set_timesteps(steps)
    if steps == 1 and place == "linspace":
        scheduler.timesteps = torch.tensor([999])  # theirs is 0, at which nothing is left to do
    alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps].double()
    levels = noise_levels(SCHEDULES["linear"](), steps, "timesteps", place=place)
    torch.testing.assert_close(torch.tensor(levels[:-1]).double(), (1 / alpha_bar - 1).sqrt(), rtol=1e-3, atol=0)
