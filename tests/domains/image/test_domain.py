"""Images as a domain: conditions, judge, metrics, pictures and files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from polydiff.config.merge import resolve
from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.image import SPEC
from polydiff.domains.image.data.source import Split
from polydiff.domains.image.domain import Image
from polydiff.domains.image.statistics import MEASURED, few
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain


def test_decoding_undoes_encoding_and_states_are_standardised(image: Image) -> None:
    x, space, cond = image.batch("train", range(500), streams(0, "augment", range(500)))
    part = image.source.splits["train"]
    assert torch.equal(torch.stack(image.decode(x, space)), part.centred(range(500)))
    assert cond is not None
    assert torch.equal(cond["label"], part.labels[:500])
    assert float(x.square().mean()) == pytest.approx(1, abs=0.03)


def test_a_new_image_has_the_requested_class_or_one_drawn_as_in_training(image: Image) -> None:
    _, cond = image.blank(streams(0, "blank", range(5)), {"label": "7"})
    assert cond is not None
    assert cond["label"].tolist() == [7] * 5
    label = {**image.statistics["conditions"]["label"], "counts": [3, 1, 0, 0, 0, 0, 0, 0, 0, 0]}
    weighted = Image(image.config, {**image.statistics, "conditions": {"label": label}})
    _, drawn = weighted.blank(streams(0, "blank", range(400)), {})
    _, alone = weighted.blank(streams(0, "blank", [17]), {})
    assert drawn is not None
    assert alone is not None
    assert abs(drawn["label"].bincount(minlength=10)[0].item() - 300) < 45  # five standard deviations
    assert drawn["label"].max() <= 1
    assert drawn["label"][17] == alone["label"][0]


def test_unknown_conditions_raise_an_error_that_lists_the_known_ones(image: Image, photos: Image) -> None:
    with pytest.raises(UserError, match=r"Unknown label 'seven'.*Known: 0, 1, 2"):
        image.blank(streams(0, "blank", [0]), {"label": "seven"})
    with pytest.raises(UserError, match=r"Unknown condition 'labl'. Did you mean 'label'\?"):
        image.blank(streams(0, "blank", [0]), {"labl": "7"})
    with pytest.raises(UserError, match=r"Unknown condition 'label'\. Known: none"):
        photos.blank(streams(0, "blank", [0]), {"label": "7"})


def test_conditions_are_described_in_words(image: Image) -> None:
    assert image.describe({"label": torch.tensor([3, -1])}) == [{"label": "3"}, {"label": "any"}]


def test_pairs_of_requested_and_predicted_class_are_counted(image: Image) -> None:
    real = image.examples("test", 100)
    counts = torch.tensor(image.confusions(real)["label"].counts)
    assert counts.sum() == 100
    assert counts.diagonal().sum() > 95
    assert image.confusions(Samples(real.examples)) == {}


def test_saved_files_hold_the_images(image: Image, photos: Image, tmp_path: Path) -> None:
    for domain, mode in ((image, "L"), (photos, "RGB")):
        samples = domain.examples("test", 3)
        entries = domain.save(samples, tmp_path / mode)
        assert [entry["file"] for entry in entries] == [f"sample-{i:05d}.png" for i in range(3)]
        for entry, example in zip(entries, samples.examples, strict=True):
            with Pillow.open(tmp_path / mode / entry["file"]) as file:
                assert file.mode == mode
                pixels = np.array(file).reshape(*example.shape[1:], -1)
            assert (torch.from_numpy(pixels).permute(2, 0, 1) == example).all()
    samples = image.examples("test", 1)
    assert samples.cond is not None
    assert image.save(samples, tmp_path)[0]["label"] == str(int(samples.cond["label"][0]))


def test_samples_are_decoded_without_the_data(photos: Image, tmp_path: Path) -> None:
    assert photos.data.path is not None
    root = tmp_path / "moved"
    shutil.copytree(photos.data.path, root)
    config = photos.config.model_copy(update={"data": photos.data.model_copy(update={"path": root})})
    statistics = dict(Image(config).statistics)
    shutil.rmtree(root)
    space, cond = (bare := Image(config, statistics)).blank(streams(0, "blank", range(2)), {})
    assert cond is None
    assert [x.shape for x in bare.decode(torch.zeros(2, 3, 16, 16), space)] == [(3, 16, 16)] * 2
    with pytest.raises(UserError, match="there is no such folder"):
        bare.size("train")


@pytest.mark.parametrize("preset", SPEC.presets)
def test_presets_make_configurations(preset: str) -> None:
    config = resolve("image", preset).config
    assert config.preset == preset
    assert Image(config, {"mean": [0.0], "std": 1.0, "names": [], "counts": []}).backbone() is not None


def test_the_domain_keeps_its_promises() -> None:
    found = check_domain("image")
    assert not [check for check in found if not check.passed], found


@pytest.mark.parametrize(("side", "n"), [(8, 10_000), (64, 10_000), (256, 682), (4096, 64)])
def test_statistics_of_large_images_are_measured_on_fewer_of_them(side: int, n: int) -> None:
    one = torch.zeros(3, 1, 1, dtype=torch.uint8).expand(3, side, side)
    indices = few(Split([one] * 20_000, torch.full((20_000,), -1), side), MEASURED)
    assert len(indices) == len(set(indices)) == n
