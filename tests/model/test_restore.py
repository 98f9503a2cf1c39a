"""What models make of another form of examples, in Python and by the verbs, for sounds and images."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import soundfile
import torch
from PIL import Image
from torch.testing import assert_close

import polydiff
from polydiff.cli import main
from polydiff.contract.tasks.enlarge import Enlarge, block_means, enlarged
from polydiff.contract.tasks.inpaint import Inpaint
from polydiff.core.conditions import LOW
from polydiff.core.streams import streams
from polydiff.domains.image.metrics.pairs import pair_metrics, structural_similarity
from polydiff.model.restore import degrade_held_out, paired, read_degraded, restore
from polydiff.model.user_conditions import edited_conditions
from polydiff.support.errors import UserError

FEW = {
    "train.steps": 2,
    "train.batch_size": 4,
    "train.sample_every": 9,
    "backbone.channels": 16,
    "backbone.blocks": 1,
    "sample.steps": 2,
}
SOUNDS = {"data.sample_rate": 8000, "data.length": 1024, "data.n_train": 64, "data.n_test": 16}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps, one a task, which no test changes."""
    folder = tmp_path_factory.mktemp("restore")
    for name in ("upsample", "vocode", "generate"):
        polydiff.train("audio", folder / name, overrides={"task": name, **FEW, **SOUNDS})
    polydiff.train("image", folder / "image", overrides={"task": "upsample", **FEW})
    return folder


def test_block_means_of_enlarged_states_equal_the_low_resolution_condition() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 9, 8, generator=g)
    task = Enlarge(3, 4)
    observed = task.observe(x, [])
    assert observed[LOW].shape == (2, 3, 3, 2)
    assert_close(observed[LOW][:, :, 0, 1], x[:, :, :4, 4:].mean((2, 3)))
    assert_close(observed[LOW][:, :, 2, 0], x[:, :, 8:, :4].mean((2, 3)))
    made = task.finish(torch.randn(2, 3, 9, 8, generator=g), observed)
    assert_close(block_means(made, 4), observed[LOW])
    assert_close(task.finish(x, observed), x)


def test_interpolation_between_blocks_is_torchs() -> None:
    low = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(low, scale_factor=3, mode="bilinear", align_corners=False)
    assert_close(enlarged(low, 3, (15, 12)), expected)


def test_a_gap_is_guessed_silent_and_the_rest_is_kept() -> None:
    x = torch.randn(1, 2, 6)
    observed = {"known": torch.where(torch.tensor([1, 1, 0, 0, 1, 1]) > 0, x, math.nan)}
    assert Inpaint(2).guess(observed, (6,)).eq(0).sum() == 4
    made = Inpaint(2).finish(torch.ones(1, 2, 6), observed)
    assert torch.equal(made[..., 2:4], torch.ones(1, 2, 2))
    assert torch.equal(made[..., :2], x[..., :2])


@pytest.mark.parametrize("name", ["upsample", "vocode", "image"])
def test_each_held_out_example_is_made_by_itself_and_judged_beside_the_simple_method(runs: Path, name: str) -> None:
    model = polydiff.load(runs / name)
    given, truth = degrade_held_out(model, [0, 1, 2, 3])
    together = restore(model, given, seed=1)
    apart = restore(model, degrade_held_out(model, [2, 3])[0], seed=1, first=2)
    for one, other in zip(together.examples[2:], apart.examples, strict=True):
        assert_close(one, other, rtol=0, atol=1e-4 if name != "image" else 1)
    data = paired(model.request(), 4).sets["data"].examples
    assert_close(model.domain.decode(truth.x, truth.space)[0], data[0])
    result = polydiff.evaluate(model, 4)
    main_name = {"image": "psnr"}.get(name, "lsd")
    row = result["metrics"][main_name]
    assert set(row) >= {"value", "data", "noise", "baseline"}
    assert row["data"] in (0, None)  # None: infinite
    assert result["baseline"]
    assert result["n"] == 4


def test_guidance_keeps_the_degraded_input_in_both_estimates(runs: Path) -> None:
    model = polydiff.load(runs / "upsample")
    given, _ = degrade_held_out(model, [0, 1])
    plain = restore(model, given, guidance=1.0, cond={"pitch": "any"})
    guided = restore(model, given, guidance=5.0, cond={"pitch": "any"})
    for a, b in zip(plain.examples, guided.examples, strict=True):
        assert_close(a, b)  # nothing else is requested, so there is nothing to guide away from


@pytest.mark.parametrize("name", ["upsample", "vocode", "image"])
def test_a_guide_has_the_same_conditions(runs: Path, name: str) -> None:
    model = polydiff.load(runs / name)
    given, _ = degrade_held_out(model, [0])
    plain = restore(model, given, guidance=1.0).examples[0].double()
    alike = restore(model, given, guidance=2.0, guide=str(runs / name)).examples[0].double()
    assert_close(plain, alike, rtol=0, atol=1e-4 if name != "image" else 1)  # a guide that is no worse changes nothing
    if name == "upsample":
        with pytest.raises(UserError, match="was trained on other data"):
            restore(model, given, guidance=2.0, guide=str(runs / "vocode"))


def test_files_of_any_length_are_upsampled_and_vocoded(runs: Path, tmp_path: Path) -> None:
    tone = 0.3 * torch.sin(0.3 * torch.arange(900)).numpy()
    soundfile.write(str(tmp_path / "low.wav"), tone, 4000)
    soundfile.write(str(tmp_path / "full.wav"), tone[:777], 8000)
    out = tmp_path / "out"
    assert main(["upsample", str(runs / "upsample"), str(tmp_path / "low.wav"), "-o", str(out)]) == 0
    made, rate = soundfile.read(out / "made" / "sample-00000.wav")
    assert (len(made), rate) == (1800, 8000)
    assert json.loads((out / "made" / "manifest.json").read_text())["files"] == [str(tmp_path / "low.wav")]
    assert main(["vocode", str(runs / "vocode"), str(tmp_path / "full.wav"), "-o", str(tmp_path / "voc")]) == 0
    assert len(soundfile.read(tmp_path / "voc" / "made" / "sample-00000.wav")[0]) == 777
    full = [str(runs / "upsample"), str(tmp_path / "full.wav")]
    assert main(["upsample", *full, "--degrade", "--no-keep", "-o", str(tmp_path / "deg")]) == 0


def test_a_small_image_becomes_a_large_one(runs: Path, tmp_path: Path) -> None:
    Image.new("L", (5, 7), 200).save(tmp_path / "small.png")
    assert main(["upsample", str(runs / "image"), str(tmp_path / "small.png"), "-o", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "made" / "sample-00000.png") as made:
        assert made.size == (10, 14)


def test_white_and_black_come_out_white_and_black(runs: Path, tmp_path: Path) -> None:
    drawn = Image.new("L", (6, 8), 255)
    drawn.paste(0, (3, 0, 6, 8))
    drawn.save(tmp_path / "small.png")
    model = polydiff.load(runs / "image")
    (made,) = restore(model, read_degraded(model, [tmp_path / "small.png"])).examples
    assert made.shape == (1, 16, 12)
    assert (made[..., :6] == 255).all()
    assert (made[..., 6:] == 0).all()


def test_images_of_any_size_are_reduced_and_enlarged_again(runs: Path, tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((13, 21)).save(tmp_path / "full.png")
    full = [str(runs / "image"), str(tmp_path / "full.png")]
    assert main(["upsample", *full, "--degrade", "-o", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "made" / "sample-00000.png") as made:
        assert made.size == (13, 21)


def test_a_model_of_another_task_raises_an_error(
    runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = polydiff.load(runs / "generate")
    assert not model.restores
    for use in (lambda: read_degraded(model, ["a.wav"]), lambda: degrade_held_out(model, [0])):
        with pytest.raises(UserError, match="trained to generate, not to restore"):
            use()
    assert main(["vocode", str(runs / "upsample")]) == 2
    assert "was trained with task=upsample" in capsys.readouterr().err


def test_a_model_of_what_recordings_lack_edits_no_whole_sounds(runs: Path) -> None:
    model = polydiff.load(runs / "upsample")
    given = model.domain.batch("test", [0, 1], streams(0, "augment", [0, 1]))
    for use in (
        lambda: polydiff.inpaint(model, given, torch.ones(1024)),
        lambda: polydiff.interpolate(model, given, given, [0.5]),
    ):
        with pytest.raises(UserError, match=r"missing from another form of examples \(task=upsample\)"):
            use()
    kept = edited_conditions(model, given, None, 0, range(2))
    assert kept is not None
    assert kept[LOW].isfinite().all()


def test_an_edit_is_not_conditioned_on_the_spectrogram_of_what_it_replaces(runs: Path) -> None:
    model = polydiff.load(runs / "vocode")
    given = model.domain.batch("test", [0, 1], streams(0, "augment", [0, 1]))
    kept = edited_conditions(model, given, None, 0, range(2))
    assert kept is not None
    assert kept["mel"].isnan().all()


def test_likeness_of_images_is_what_it_is_of_plain_ones() -> None:
    a, b = torch.full((1, 1, 12, 12), 0.25).double(), torch.full((1, 1, 12, 12), 0.75).double()
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert float(structural_similarity(a, b)) == pytest.approx(expected)
    g = torch.Generator().manual_seed(0)
    x = torch.rand(3, 2, 20, 20, generator=g).double()
    assert_close(structural_similarity(x, x), torch.ones(3).double())
    assert (structural_similarity(x, x.flip(3)) < 0.3).all()
    assert structural_similarity(x[..., :4, :4], x[..., :4, :4] * 0.9).shape == (3,)
    found = pair_metrics(
        [torch.full((1, 8, 8), 100, dtype=torch.uint8)], [torch.full((1, 8, 8), 110, dtype=torch.uint8)]
    )
    assert found["psnr"].value == pytest.approx(20 * math.log10(25.5))
