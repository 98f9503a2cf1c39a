"""Images as a domain: conditions, judge, metrics, pictures and files."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from polydiff import classifier
from polydiff.domain import Samples
from polydiff.domains.image import SPEC, judge, metrics
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data import Split, digits
from polydiff.domains.image.domain import Image
from polydiff.domains.image.judge import Judge, filter_features
from polydiff.errors import UserError
from polydiff.random import streams
from polydiff.settings import resolve
from polydiff.testing import check_domain


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(ImageConfig())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Image:
    root = tmp_path_factory.mktemp("photos")
    g = np.random.default_rng(0)
    for i in range(80):
        small = g.integers(0, 200, (4, 4, 3), dtype=np.uint8)
        Pillow.fromarray(small).resize((20, 16)).save(root / f"{i}.png")
    return Image(ImageConfig(data=ImageData(name="folder", path=root, size=16, test_share=0.4)))


def noise(image: Image, n: int) -> Samples:
    space, cond = image.blank(streams(0, "blank", range(n)), {})
    return Samples(image.decode(space.noise(streams(0, "noise", range(n))), space), cond)


def values(image: Image, samples: Samples) -> dict[str, float]:
    return {name: metric.value for name, metric in image.evaluate(samples).items()}


def test_decoding_undoes_encoding_and_states_are_standardised(image: Image) -> None:
    x, space, cond = image.batch("train", range(500), streams(0, "augment", range(500)))
    part = image.source.splits["train"]
    assert torch.equal(torch.stack(image.decode(x, space)), part.centred(range(500)))
    assert cond is not None
    assert torch.equal(cond["label"], part.labels[:500])
    assert float(x.square().mean()) == pytest.approx(1, abs=0.03)


def test_a_new_image_has_the_class_asked_for_or_one_drawn_as_in_training(image: Image) -> None:
    _, cond = image.blank(streams(0, "blank", range(5)), {"label": "7"})
    assert cond is not None
    assert cond["label"].tolist() == [7] * 5
    weighted = Image(image.config, {**image.statistics, "counts": [3, 1, 0, 0, 0, 0, 0, 0, 0, 0]})
    _, drawn = weighted.blank(streams(0, "blank", range(400)), {})
    _, alone = weighted.blank(streams(0, "blank", [17]), {})
    assert drawn is not None
    assert alone is not None
    assert abs(drawn["label"].bincount(minlength=10)[0].item() - 300) < 45  # five standard deviations
    assert drawn["label"].max() <= 1
    assert drawn["label"][17] == alone["label"][0]


def test_unknown_conditions_are_refused_with_what_is_known(image: Image, photos: Image) -> None:
    with pytest.raises(UserError, match=r"Unknown label 'seven'.*Known: 0, 1, 2"):
        image.blank(streams(0, "blank", [0]), {"label": "seven"})
    with pytest.raises(UserError, match=r"Unknown condition 'labl'. Did you mean 'label'\?"):
        image.blank(streams(0, "blank", [0]), {"labl": "7"})
    with pytest.raises(UserError, match=r"Unknown condition 'label'\. Known: none"):
        photos.blank(streams(0, "blank", [0]), {"label": "7"})


def test_conditions_are_told_in_words(image: Image) -> None:
    assert image.describe({"label": torch.tensor([3, -1])}) == [{"label": "3"}, {"label": "any"}]


def test_the_judge_knows_held_out_digits_and_says_how_well(image: Image) -> None:
    judged = image.evaluate(image.examples("test", 1000))["judge_agrees"]
    assert judged.value > 0.97
    assert f"right on {100 * judged.value:.1f} % of held-out" in judged.meaning
    everything = image.examples("test", 1000)
    assert everything.cond is not None
    wrong = Samples(everything.examples, {"label": (everything.cond["label"] + 1) % 10})
    assert values(image, wrong)["judge_agrees"] < 0.03
    unasked = Samples(everything.examples, {"label": torch.full((len(everything),), -1)})
    assert np.isnan(values(image, unasked)["judge_agrees"])
    assert np.isnan(values(image, Samples(everything.examples))["judge_agrees"])


def test_what_is_asked_and_what_is_seen_are_counted(image: Image) -> None:
    real = image.examples("test", 100)
    counts = torch.tensor(image.confusions(real)["label"].counts)
    assert counts.sum() == 100
    assert counts.diagonal().sum() > 95
    assert image.confusions(Samples(real.examples)) == {}


def test_the_judge_never_sees_the_test_split(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(judge, "STEPS", 20)
    splits = digits().splits
    flipped = Split(255 - splits["test"].images, splits["test"].labels.flip(0), 8)  # type: ignore[operator,arg-type]
    weights = []
    for number, test in enumerate((splits["test"], flipped)):
        monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / str(number)))
        weights.append(Judge.of(splits["train"], test, 10).network.state_dict())
    for name in weights[0]:
        assert torch.equal(weights[0][name], weights[1][name]), name


def test_the_judge_is_kept_and_a_damaged_one_is_trained_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(judge, "STEPS", 20)
    trained: list[int] = []
    train = classifier.train

    def counted(*said: Any) -> None:
        trained.append(1)
        train(*said)

    monkeypatch.setattr(classifier, "train", counted)
    splits = digits().splits
    first, second = (Judge.of(splits["train"], splits["test"], 10) for _ in range(2))
    assert len(trained) == 1
    images = splits["test"].centred(range(50))
    assert torch.equal(first.features(images), second.features(images))
    (kept,) = (tmp_path / "image").iterdir()
    data = kept.read_bytes()
    for damage in (data[:-8], data[:5000] + b"!" + data[5001:], b""):
        kept.write_bytes(damage)
        again = Judge.of(splits["train"], splits["test"], 10)
        assert torch.equal(first.features(images), again.features(images))
        assert kept.read_bytes() == data
    assert len(trained) == 4


def test_real_images_are_judged_better_than_noise(image: Image, photos: Image) -> None:
    for domain in (image, photos):
        real, floor = (domain.evaluate(s) for s in (domain.examples("test", 400), noise(domain, 400)))
        assert real.keys() == floor.keys()
        for name, metric in real.items():
            if name != "copies":
                sign = 1 if metric.better == "higher" else -1
                assert sign * (metric.value - floor[name].value) > 0.2, name
    assert "frechet_filters" in real
    assert "judge_agrees" not in real


def test_a_missing_class_lowers_coverage_and_raises_the_distance(image: Image) -> None:
    real = image.examples("test", 1000)
    assert real.cond is not None
    few = [x for x, label in zip(real.examples, real.cond["label"].tolist(), strict=True) if label < 5]
    part = Samples((few * 3)[: len(real)])
    whole, half = values(image, real), values(image, part)
    assert half["coverage"] < 0.62 < 0.9 < whole["coverage"]
    assert half["frechet_judge"] > 5 * whole["frechet_judge"]


def test_copies_are_told_from_new_images(image: Image) -> None:
    assert values(image, image.examples("train", 200))["copies"] == 1
    assert values(image, image.examples("test", 1000))["copies"] == pytest.approx(0.01, abs=0.005)


def test_distances_are_taken_at_equally_many_images(image: Image) -> None:
    more = noise(image, 500)
    held_out = image.size("test")
    a, b = image.evaluate(more), image.evaluate(more.head(held_out))
    assert a["frechet_judge"] == b["frechet_judge"]
    assert f"of {held_out} images" in a["frechet_judge"].meaning


def test_coverage_is_one_on_the_data_and_nil_far_away() -> None:
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    assert metrics.coverage(x, x) == 1
    assert metrics.coverage(x + 100, x) == 0
    y = torch.randn(100, 5, generator=torch.Generator().manual_seed(1))
    assert metrics.coverage(y, x) == pytest.approx(1 - 2**-metrics.NEIGHBOURS, abs=0.1)


def test_random_filters_see_colour_and_texture() -> None:
    features = filter_features(3)
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 16, 16), generator=g, dtype=torch.uint8)
    base = features(images)
    assert base.shape == (20, 72)
    torch.testing.assert_close(features(images[3:4]), base[3:4])
    smooth = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1).to(torch.uint8)
    for other in (images.flip(1), smooth, images // 2):
        assert (features(other) - base).norm() > 0.1 * base.norm()


def test_the_picture_holds_every_image_enlarged_and_fetches_nothing(image: Image) -> None:
    samples = image.examples("test", 16)
    html = image.show(samples)
    assert "http" not in html
    assert 'src="data:image/png;base64,' in html
    assert len(html) < 30_000
    found = re.search(r'base64,([^"]+)', html)
    assert found
    picture = np.array(Pillow.open(io.BytesIO(base64.b64decode(found[1]))))
    opaque = picture[..., 3] == 255
    for i, example in enumerate(samples.examples):
        row, column = divmod(i, 8)
        top, left = row * (64 + 14 + 6) + 14, column * (64 + 6)
        cell = picture[top : top + 64, left : left + 64]
        assert (cell[::8, ::8, 0] == example[0].numpy()).all()
        assert (cell[7::8, 7::8, 1] == example[0].numpy()).all()
        assert opaque[top : top + 64, left : left + 64].all()
        assert picture[top - 14 : top, left : left + 64, 3].any(), "no caption"


def test_a_picture_of_many_images_stays_small(photos: Image) -> None:
    html = photos.show(noise(photos, 200))
    assert len(html) < 400_000
    assert photos.show(Samples([])) == "<p>No images.</p>"


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
    with pytest.raises(UserError, match="is not a folder"):
        bare.size("train")


@pytest.mark.parametrize("preset", SPEC.presets)
def test_presets_make_configurations(preset: str) -> None:
    config = resolve("image", preset).config
    assert config.preset == preset
    assert Image(config, {"mean": [0.0], "std": 1.0, "names": [], "counts": []}).backbone() is not None


def test_the_domain_keeps_its_promises() -> None:
    found = check_domain("image")
    assert not [check for check in found if not check.passed], found
