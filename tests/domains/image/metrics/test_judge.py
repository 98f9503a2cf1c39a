"""Tests of `polydiff.domains.image.metrics.judge`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polydiff.contract.domain import Samples
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.source import Split, digits
from polydiff.domains.image.domain import Image
from polydiff.domains.image.metrics import judge
from polydiff.domains.image.metrics.judge import Classifier, Judge, filter_features
from polydiff.domains.image.metrics.sample_set import judge_metrics
from polydiff.metrics import classifier


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(ImageConfig())


def values(image: Image, samples: Samples) -> dict[str, float]:
    return {name: metric.value for name, metric in image.evaluate(samples).items()}


def test_the_judge_knows_held_out_digits_and_states_its_accuracy(image: Image) -> None:
    judged = image.evaluate(image.examples("test", 1000))["judge_agrees"]
    assert judged.value > 0.97
    assert f"right on {100 * judged.value:.1f} % of held-out" in judged.meaning
    everything = image.examples("test", 1000)
    assert everything.cond is not None
    wrong = Samples(everything.examples, {"label": (everything.cond["label"] + 1) % 10})
    assert values(image, wrong)["judge_agrees"] < 0.03
    unconditional = Samples(everything.examples, {"label": torch.full((len(everything),), -1)})
    assert np.isnan(values(image, unconditional)["judge_agrees"])
    assert np.isnan(values(image, Samples(everything.examples))["judge_agrees"])


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


def test_held_out_images_without_a_class_are_not_counted_as_wrong() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    network = Classifier(1, 8, 2).eval()
    seen = network(images).argmax(1)
    assert Judge(network, Split(images, torch.where(torch.arange(4) < 2, seen, -1), 8)).accuracy == 1
    judge = Judge(network, Split(images, torch.full((4,), -1), 8))
    assert math.isnan(judge.accuracy)
    assert "and no held-out image has a class;" in str(judge_metrics(images, seen, judge, 2)["judge_agrees"])
