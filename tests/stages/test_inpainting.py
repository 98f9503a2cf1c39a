"""Inpainting through a codec: known places are kept bit for bit, and codes are known where their whole patch is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from stage_cases import captioned, trained_codec, trained_on_codes, trained_pair, trained_prior

import polydiff
from polydiff.cli import main
from polydiff.core.space import Batch, Euclidean, Space
from polydiff.core.streams import streams
from polydiff.encode.module import Encoder
from polydiff.model.model import Model
from polydiff.stages.codec import LearnedCodec
from polydiff.stages.through import Through
from polydiff.support.errors import UserError

FACTOR = {"backbone.factor": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inpainting")
    return trained_on_codes("image", folder / "ldm", trained_codec("image", folder / "ae", **FACTOR))


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return polydiff.load(run)


def through(model: Model) -> Through:
    assert isinstance(model.domain, Through)
    return model.domain


def held_out(model: Model, n: int) -> Batch:
    return through(model).whole.batch("test", range(n), streams(0, "augment", range(n)))


def images(examples: Any) -> torch.Tensor:
    return torch.stack(list(examples))


class Halves(torch.nn.Module):
    """An autoencoder that sums patches of two places, and repeats them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def encode(self, x: torch.Tensor, space: Space) -> tuple[torch.Tensor, torch.Tensor]:
        whole = torch.nn.functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        z = torch.nn.functional.avg_pool2d(whole, 2) * 4
        return z, torch.zeros_like(z)

    def decode(self, z: torch.Tensor, space: Space | None = None) -> torch.Tensor:
        return z.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_a_code_is_known_where_its_whole_patch_is() -> None:
    codec = LearnedCodec(Encoder(Halves()), None)  # type: ignore[arg-type]
    mask = torch.tensor(
        [
            [1, 1, 1, 1, 1],
            [1, 1, 0, 1, 1],
            [1, 1, 1, 1, 0],
            [1, 1, 1, 1, 1],
            [1, 0, 1, 1, 1],
        ]
    )
    expected = torch.tensor([[True, False, True], [True, True, False], [False, True, True]])
    space = Euclidean(2, (3, 5, 5))
    assert codec.patch_of((3, 3, 3)) == (2, 2)
    assert torch.equal(codec.known(mask, space), expected.expand(2, 1, 3, 3))
    one_channel = torch.ones(2, 3, 5, 5, dtype=torch.bool)
    one_channel[1, 2, 0, 4] = False
    assert torch.equal(codec.known(one_channel, space)[0], torch.ones(1, 3, 3, dtype=torch.bool))
    assert codec.known(one_channel, space)[1].flatten().tolist() == [True, True, False, *[True] * 6]
    assert codec.known(torch.ones(1), space).all()


def test_known_pixels_are_kept_bit_for_bit_and_others_are_new(model: Model) -> None:
    given = held_out(model, 3)
    mask = torch.ones(8, 8)
    mask[:, 3:7] = 0
    made = images(polydiff.inpaint(model, given, mask, resample=2, jump=2).examples)
    truth = images(through(model).whole.decode(given.x, given.space))
    assert torch.equal(made[..., mask == 1], truth[..., mask == 1])
    assert not torch.equal(made[..., mask == 0], truth[..., mask == 0])


def test_with_everything_known_the_result_is_the_input_and_with_nothing_a_sample(model: Model) -> None:
    given = held_out(model, 2)
    truth = through(model).whole.decode(given.x, given.space)
    assert torch.equal(images(polydiff.inpaint(model, given, torch.ones(1)).examples), images(truth))
    no_code = torch.zeros(8, 8)
    no_code[::2] = 1  # no patch of two rows is known
    free = polydiff.inpaint(model, given._replace(cond=None), torch.zeros(1), cond={"label": 3}).examples
    made = images(polydiff.inpaint(model, given._replace(cond=None), no_code, cond={"label": 3}).examples)
    assert torch.equal(made[..., 1::2, :], images(free)[..., 1::2, :])
    assert torch.equal(made[..., ::2, :], images(truth)[..., ::2, :])


def test_what_is_unknown_changes_nothing(model: Model) -> None:
    """Codes are those of an example in which unknown pixels are replaced, so they hold nothing about them."""
    given, mask = held_out(model, 2), torch.ones(8, 8)
    mask[2:5, 2:5] = 0
    other = given._replace(x=torch.where(mask == 1, given.x, 3.0))
    a, b = (images(polydiff.inpaint(model, one, mask).examples) for one in (given, other))
    assert torch.equal(a, b)


def test_an_example_does_not_depend_on_its_batch(model: Model) -> None:
    given, mask = held_out(model, 4), torch.ones(8, 8)
    mask[:4] = 0
    domain, places = through(model), (given.x[2:3], given.space, given.cond)
    alone = Batch(places[0], Euclidean(1, given.x.shape[1:]), {k: v[2:3] for k, v in (given.cond or {}).items()})
    for whole, part in zip(domain.known(given, mask), domain.known(alone, mask), strict=True):
        x, y = (v.x if isinstance(v, Batch) else v.float() for v in (whole, part))
        torch.testing.assert_close(x[2:3], y, atol=1e-5, rtol=1e-5)
    made = images(polydiff.inpaint(model, given, mask).examples)[2].int()
    single = images(polydiff.inpaint(model, alone, mask, first=2).examples)[0].int()
    assert (made - single).abs().max() <= 1  # rounding may cross a level of brightness


def test_codes_are_no_whole_examples(model: Model) -> None:
    codes = model.domain.batch("test", range(2), streams(0, "augment", range(2)))
    with pytest.raises(UserError, match="given holds codes, but a mask concerns whole examples"):
        polydiff.inpaint(model, codes, torch.ones(1))


def test_embeddings_have_no_parts(tmp_path: Path) -> None:
    data = captioned("image", tmp_path / "data")
    prior = trained_prior("image", tmp_path / "prior", trained_pair("image", tmp_path / "pair", data), data)
    model = polydiff.load(prior)
    given = model.domain.batch("test", range(1), streams(0, "augment", range(1)))
    with pytest.raises(UserError, match=r"works in codes .* and cannot inpaint"):
        polydiff.inpaint(model, given, torch.ones(1))


def test_the_verb_reads_parts_and_masks_in_pixels(run: Path, model: Model, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "given.png")
    white = np.zeros((8, 8), np.uint8)
    white[2:5, 3:8] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    for name, words in (("gap", ["--gap", "3,2:8,5"]), ("mask", ["--mask", str(tmp_path / "mask.png")])):
        out = tmp_path / name
        assert main(["inpaint", str(run), str(tmp_path / "given.png"), *words, "-o", str(out)]) == 0
        made, given = (
            np.asarray(Image.open(next((out / part).glob("*.png"))).convert("L")) for part in ("made", "given")
        )
        assert np.array_equal(made[white == 0], given[white == 0])
        assert not np.array_equal(made[white > 0], given[white > 0])
    read = polydiff.read(model, tmp_path / "given.png", whole=True)
    shown = through(model).whole.decode(read.x, read.space)[0]
    assert np.array_equal(given, np.asarray(shown[0]))  # the input itself, not its reconstruction
    assert main(["inpaint", str(run), "-n", "2", "--keep", "0,0:8,4", "-o", str(tmp_path / "held")]) == 0


def test_sounds_keep_their_known_samples(tmp_path: Path) -> None:
    codec = trained_codec("audio", tmp_path / "ae")
    run = trained_on_codes("audio", tmp_path / "ldm", codec)
    model = polydiff.load(run)
    given = held_out(model, 2)
    length = given.x.shape[-1]
    mask = torch.ones(length)
    mask[length // 4 : length // 2] = 0
    made = images(polydiff.inpaint(model, given, mask).examples)
    truth = images(through(model).whole.decode(given.x, given.space))
    assert torch.equal(made[..., mask == 1], truth[..., mask == 1])
    assert not torch.equal(made[..., mask == 0], truth[..., mask == 0])
    rate = model.config.data.sample_rate  # type: ignore[attr-defined]
    soundfile.write(str(tmp_path / "longer.wav"), 0.1 * np.random.default_rng(0).standard_normal(length + 37), rate)
    out = tmp_path / "out"
    end = length / 2 / rate
    assert main(["inpaint", str(run), str(tmp_path / "longer.wav"), "--gap", f"0:{end}", "-o", str(out)]) == 0
