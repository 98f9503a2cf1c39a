"""The verbs that make examples of examples, with files of one's own and held-out examples of trained runs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from pipeline_cases import images

import polydiff
from polydiff.cli import main
from polydiff.cli.inputs import example
from polydiff.judging.likelihood import held_out
from polydiff.support.errors import UserError
from polydiff.support.files import new_numbered_folder

RATE, LENGTH = 4000, 512
FEW = {
    "train.steps": 2,
    "train.batch_size": 4,
    "backbone.channels": 16,
    "backbone.blocks": 1,
    "sample.steps": 3,
    "train.sample_every": 9,
}
SOUNDS = {"data.sample_rate": RATE, "data.length": LENGTH, "data.n_train": 64, "data.n_test": 16}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps, conditioned on a known part, which no test changes."""
    folder = tmp_path_factory.mktemp("vary")
    polydiff.train("audio", folder / "audio", overrides={"task": "inpaint", **FEW, **SOUNDS})
    polydiff.train("image", folder / "image", overrides={"task": "inpaint", **FEW})
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    """A sound of the trained length, two of one other length, and one of twice the rate."""
    generator = np.random.default_rng(0)
    paths = []
    for i, (n, rate) in enumerate([(LENGTH, RATE), (700, RATE), (700, RATE), (900, 2 * RATE)]):
        paths.append(tmp_path / f"{i}.wav")
        soundfile.write(paths[-1], 0.1 * generator.standard_normal(n), rate, subtype="FLOAT")
    return paths


def read(folder: Path) -> list[np.ndarray]:
    return [soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))]


def test_gaps_in_sounds_of_any_length_are_filled_and_the_rest_is_kept(
    runs: Path, sounds: list[Path], tmp_path: Path
) -> None:
    words = ["inpaint", str(runs / "audio"), str(sounds[0]), "--gap", "0.02:0.05", "--gap", "0.06:0.07"]
    out = tmp_path / "out"
    assert main([*words, *map(str, sounds[1:]), "-o", str(out), "--resample", "2", "--jump", "2"]) == 0
    given, made = read(out / "given"), read(out / "made")
    assert [len(x) for x in made] == [len(x) for x in given] == [LENGTH, 700, 700, 450]
    for before, after in zip(given, made, strict=True):
        gap = np.zeros(len(before), bool)
        gap[80:200] = gap[240:280] = True
        assert np.abs(after - before)[~gap].max() <= 2 / 32767
        assert np.abs(after - before)[gap].mean() > 0.01
    manifest = json.loads((out / "made" / "manifest.json").read_text())
    assert manifest["gap"] == ["0.02:0.05", "0.06:0.07"]
    assert manifest["resample"] == 2
    assert manifest["files"] == [str(path) for path in sounds]
    assert len(manifest["samples"]) == 4
    assert (out / "given" / "show.html").exists()
    assert not list(out.rglob(".*"))


def test_a_beginning_is_continued_and_batches_change_no_sound(runs: Path, tmp_path: Path) -> None:
    words = ["inpaint", str(runs / "audio"), "--keep", "0:0.05", "-n", "3", "--first", "2"]
    for size in ("1", "3"):
        assert main([*words, "-o", str(tmp_path / size), "--batch-size", size]) == 0
    one, three = (read(tmp_path / size / "made") for size in ("1", "3"))
    given = read(tmp_path / "1" / "given")
    for a, b, x in zip(one, three, given, strict=True):
        assert np.abs(a - b).max() < 1e-3
        assert np.abs(a - x)[:200].max() <= 2 / 32767
        assert np.abs(a - x)[200:].max() > 0.01


def test_files_are_varied_under_conditions(runs: Path, sounds: list[Path], tmp_path: Path) -> None:
    words = ["vary", str(runs / "audio"), *map(str, sounds), "--strength", "0.3", "--cond", "pitch=C4"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    assert [len(x) for x in read(tmp_path / "out" / "made")] == [LENGTH, 700, 700, 450]
    manifest = json.loads((tmp_path / "out" / "made" / "manifest.json").read_text())
    assert [row["cond"] for row in manifest["samples"]] == [{"pitch": "C4"}] * 4


def test_files_are_one_or_several_and_the_condition_of_a_task_cannot_be_requested(
    runs: Path, sounds: list[Path]
) -> None:
    model = polydiff.load(runs / "audio")
    assert torch.equal(polydiff.read(model, sounds[0]).x, polydiff.read(model, [str(sounds[0])]).x)
    with pytest.raises(UserError, match="No file is given"):
        polydiff.read(model, [])
    with pytest.raises(UserError, match="known is computed from a file or a held-out example"):
        model.sample(1, cond={"known": np.zeros((1, LENGTH))})
    with pytest.raises(UserError, match=r"jump must be a whole number of at least 1, not 2\.5"):
        polydiff.inpaint(model, polydiff.read(model, sounds[0]), torch.ones(LENGTH), jump=2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="jump=3 has no effect without resample"):
        polydiff.inpaint(model, polydiff.read(model, sounds[0]), torch.ones(LENGTH), jump=3)


def test_each_numbered_folder_is_given_once(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    with new_numbered_folder(folder, "varied") as first, new_numbered_folder(folder, "varied") as second:
        (first / "a").touch()
        assert [first.name, second.name] == ["varied-001", "varied-002"]
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["varied-001"]
    with pytest.raises(ZeroDivisionError), new_numbered_folder(tmp_path / "none", "varied"):
        raise ZeroDivisionError
    assert not (tmp_path / "none").exists()


def test_a_likelihood_is_that_of_whole_examples(runs: Path) -> None:
    batch, _ = held_out(polydiff.load(runs / "audio"), [0, 1])
    assert batch.cond is not None
    assert batch.cond["known"].isnan().all()
    assert (batch.cond["pitch"] >= 0).all()


def test_two_examples_are_interpolated(runs: Path, sounds: list[Path], tmp_path: Path) -> None:
    words = ["interpolate", str(runs / "audio"), "--steps", "4", "--shares", "0,0.5"]
    assert main([*words, str(sounds[1]), str(sounds[2]), "-o", str(tmp_path / "files")]) == 0
    assert [len(x) for x in read(tmp_path / "files" / "made")] == [700, 700]
    assert main([*words, "3", "4", "-o", str(tmp_path / "held")]) == 0
    held = polydiff.load(runs / "audio").domain.batch("test", [3, 4], polydiff.streams(0, "augment", [3, 4]))
    given = read(tmp_path / "held" / "given")
    std = polydiff.load(runs / "audio").domain.statistics["std"]
    assert np.abs(given[1] - std * held.x[1, 0].numpy()).max() <= 2 / 32767


def test_an_interpolation_is_conditioned_on_request(runs: Path, sounds: list[Path], tmp_path: Path) -> None:
    words = ["interpolate", str(runs / "audio"), "--steps", "4", str(sounds[1]), str(sounds[2])]
    for name, more in {"none": [], "c": ["--cond", "pitch=C4"], "d": ["--cond", "pitch=D4"]}.items():
        assert main([*words, *more, "-o", str(tmp_path / name)]) == 0
    none, c, d = (np.stack(read(tmp_path / name / "made")) for name in ("none", "c", "d"))
    assert min(np.abs(none - c).max(), np.abs(c - d).max()) > 0
    manifest = json.loads((tmp_path / "c" / "made" / "manifest.json").read_text())
    assert manifest["requested"] == {"pitch": "C4"}
    assert all(entry["cond"]["pitch"] == "C4" for entry in manifest["samples"])


@pytest.mark.parametrize("option", ["--cond", "--negative"])
@pytest.mark.parametrize(("kind", "word", "example"), [("audio", "pitch", "pitch="), ("image", "text=", "label=")])
def test_an_example_of_a_condition_is_one_of_the_run(
    runs: Path, option: str, kind: str, word: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(runs / kind), option, word]) == 2
    assert f"{option} {word} is not of the form NAME=VALUE, such as {option} {example}" in capsys.readouterr().err


def test_images_are_inpainted(runs: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 16), dtype=np.uint8)).save(picture)
    words = ["inpaint", str(runs / "image"), str(picture), "--gap", "2,0:6,4", "-o", str(tmp_path / "out")]
    assert main(words) == 0
    given, made = (
        np.array(Image.open(tmp_path / "out" / part / "sample-00000.png")).astype(int) for part in ("given", "made")
    )
    gap = np.zeros((8, 8), bool)
    gap[0:4, 2:6] = True
    assert (given == made)[~gap].all()
    assert np.abs(given - made)[gap].max() > 5
    again = polydiff.read(polydiff.load(runs / "image"), [picture])
    assert np.abs(np.stack(polydiff.load(runs / "image").domain.decode(again.x, again.space))[0, 0] - given).max() == 0


@pytest.mark.parametrize("own", [True, False], ids=["of the file's size", "of the model's size"])
def test_the_white_parts_of_a_mask_are_generated_and_the_black_ones_kept(runs: Path, tmp_path: Path, own: bool) -> None:
    picture, mask = tmp_path / "a.png", tmp_path / "mask.png"
    Image.effect_noise((64, 32), 60).save(picture)
    drawn = Image.new("L", (64, 32) if own else (8, 8), 0)
    drawn.paste(255, (32, 0, 64, 32) if own else (4, 0, 8, 8))  # the right half, also of the middle square
    drawn.save(mask)
    words = ["inpaint", str(runs / "image"), str(picture), "--mask", str(mask), "-o", str(tmp_path / "out")]
    assert main(words) == 0
    given, made = (
        np.asarray(Image.open(tmp_path / "out" / part / "sample-00000.png")).astype(int) for part in ("given", "made")
    )
    assert (given == made)[:, :4].all()
    assert (given != made)[:, 4:].mean() > 0.5
    assert json.loads((tmp_path / "out" / "made" / "manifest.json").read_text())["mask"] == str(mask)


def test_a_mask_that_does_not_fit_is_an_error(
    runs: Path, sounds: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, picture, mask, text = str(runs / "image"), tmp_path / "a.png", tmp_path / "mask.png", tmp_path / "no.png"
    Image.effect_noise((64, 32), 60).save(picture)
    Image.new("L", (32, 64), 255).save(mask)
    Image.new("1", (8, 8), 0).save(black := tmp_path / "black.png")
    text.write_text("no picture")
    wrong = [
        (
            [image, str(picture), "--mask", str(mask)],
            f"{mask} has 32 x 64 pixels, but {picture} has 64 x 32.",
        ),
        ([image, "--mask", str(mask)], "the model's images have 8 x 8. Resize it."),
        ([image, str(picture), "--mask", str(text)], f"{text} cannot be read as an image"),
        ([image, str(picture), "--mask", str(tmp_path / "none.png")], "There is no file"),
        ([image, str(picture), "--mask", str(black)], "All parts are kept, so there is nothing to generate."),
        ([image, str(picture), "--mask", str(mask), "--gap", "0,0:2,2"], "Set either --gap"),
        ([str(runs / "audio"), str(sounds[0]), "--mask", str(mask)], "the domain audio reads no masks"),
    ]
    for words, message in wrong:
        assert main(["inpaint", *words, "-o", str(tmp_path / "out")]) == 2, words
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_arguments_that_cannot_work_are_an_error_before_the_work_begins(
    runs: Path, sounds: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio, image, out = str(runs / "audio"), str(runs / "image"), str(tmp_path / "out")
    sound, long = map(str, sounds[:2])
    stereo, silent, empty, text = (tmp_path / name for name in ("stereo.wav", "silent.wav", "empty.wav", "text.wav"))
    soundfile.write(stereo, np.full((600, 2), 0.1), RATE)
    soundfile.write(silent, np.zeros(600), RATE)
    soundfile.write(empty, np.zeros(0), RATE)
    text.write_text("hello")
    wrong = [
        (["inpaint", audio], "Set either --gap (parts to generate) or --keep (parts to keep)"),
        (["inpaint", audio, "--gap", "0:0.1", "--keep", "0:0.1"], "Set either --gap (parts to generate)"),
        (["inpaint", audio, "--gap", "0.1"], "'0.1' is not a part of a sound. Give BEGIN:END in seconds"),
        (["inpaint", audio, "--gap", "0.1:x"], "'0.1:x' is not a part of a sound."),
        (["inpaint", audio, "--gap", "inf:"], "'inf:' is not a part of a sound."),
        (["inpaint", audio, "--gap", "0:1e999"], "0:1e999 lies outside the sound, which is 0.128 s long."),
        (["inpaint", audio, "--gap", "0.1:0.1"], "0.1:0.1 contains no sample"),
        (["inpaint", audio, "--gap", "0.1:2"], "0.1:2 lies outside the sound, which is 0.128 s long."),
        (
            ["inpaint", audio, long, sound, "--gap", "0.1:0.15"],
            f"{sound}: 0.1:0.15 lies outside the sound, which is 0.128 s long",
        ),
        (["inpaint", audio, "--keep", ":"], "All parts are kept, so there is nothing to generate."),
        (["inpaint", image, "--gap", "0:1"], "'0:1' is not a part of an image. Write X0,Y0:X1,Y1 in pixels"),
        (
            ["inpaint", image, "--gap", "0,0:9,9"],
            "0,0:9,9 exceeds the model's images of 8 x 8 pixels, to which gap and keep refer",
        ),
        (["inpaint", image, "--gap", "4,4:2,6"], "4,4:2,6 contains no pixel"),
        (["vary", audio, sound, str(stereo)], f"{stereo} has 2 channels"),
        (["vary", audio, str(silent)], f"{silent} is silent"),
        (["vary", audio, str(empty)], "it contains no samples"),
        (["vary", audio, str(text)], f"{text} cannot be read"),
        (["vary", audio, str(tmp_path / "none.wav")], f"There is no file {tmp_path / 'none.wav'}"),
        (["vary", image, str(text)], f"{text} cannot be read as an image"),
        (["vary", image, str(tmp_path)], f"{tmp_path} is a folder. Give files in it"),
        (["vary", audio, "--first", "16"], "--first 16 -n 1: there are 16 held-out examples."),
        (["vocode", image], "The domain image has no task=vocode."),
        (["upsample", image], "was trained with task=inpaint. `polydiff train --domain image task=upsample` trains"),
        (["vary", audio, sound, "-n", "3"], "-n and --first select held-out examples"),
        (["vary", audio, "-n", "99"], "there are 16 held-out examples."),
        (["interpolate", audio, "1", "16"], "16 is neither a file nor one of the 16 held-out examples"),
        (["interpolate", audio, sound, long], "Only examples of the same size can be interpolated"),
        (["interpolate", audio, "1", "2", "--shares", "0.5,2"], "--shares 0.5,2: expected numbers from 0 (A) to 1 (B)"),
        (["interpolate", audio, "1"], "The following arguments are required: B."),
    ]
    for words, message in wrong:
        assert main([*words, "-o", out]) == 2, words
        assert message in capsys.readouterr().err
        assert not Path(out).exists()
    assert main(["vary", audio, sound, "-o", str(tmp_path)]) == 2
    assert "exists and is not an empty folder." in capsys.readouterr().err


def test_a_long_sound_is_warned_of(runs: Path, tmp_path: Path) -> None:
    model = polydiff.load(runs / "audio")
    path = tmp_path / "long.wav"
    for n, warns in ((4 * LENGTH, False), (4 * LENGTH + 1, True)):
        soundfile.write(path, np.full(n, 0.1), RATE)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            given = polydiff.read(model, [path])
        assert given.x.shape == (1, 1, n)
        assert any("times as long" in str(warning.message) for warning in said) == warns
    assert given.cond is not None
    assert given.cond["pitch"].tolist() == [-1]
    assert given.cond["known"].isnan().all()


def test_what_is_known_is_exact_in_states(runs: Path, sounds: list[Path]) -> None:
    model = polydiff.load(runs / "audio")
    given = polydiff.read(model, sounds[1:3])
    gap = model.domain.region("0.05:0.1", given)
    made = torch.stack(list(polydiff.inpaint(model, given, ~gap, steps=3).examples))
    truth = torch.stack(list(model.domain.decode(given.x, given.space)))
    assert torch.allclose(made[..., ~gap], truth[..., ~gap], atol=1e-5)
    with pytest.raises(polydiff.UserError, match="one at a time"):
        polydiff.read(model, sounds[:2])


def test_texts_as_ends_of_an_interpolation_are_pointed_to_the_decoder() -> None:
    with pytest.raises(UserError, match=r"There is no file a red circle\. A and B are examples.*docs/unclip\.md"):
        example(images(**{"data.name": "shapes"}), "a red circle")
    with pytest.raises(UserError, match=r"no file a red circle[^A]*$"):
        example(images(), "a red circle")
