"""Tests of `polydiff.domains.image.metrics.sample_set`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from domain_cases import noise

from polydiff.contract.domain import Samples
from polydiff.domains.image.domain import Image
from polydiff.domains.image.metrics import sample_set as metrics


def values(image: Image, samples: Samples) -> dict[str, float]:
    return {name: metric.value for name, metric in image.evaluate(samples).items()}


def test_real_images_are_judged_better_than_noise(image: Image, photos: Image) -> None:
    for domain in (image, photos):
        real, floor = (domain.evaluate(s) for s in (domain.examples("test", 400), noise(domain, 400)))
        assert real.keys() == floor.keys()
        for name, metric in real.items():
            if name.startswith("kid"):  # in units of the features
                assert floor[name].value > 10 * metric.value
                assert abs(metric.value) < 4 * metric.error
            elif name != "copies":
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
    assert half["recall"] < 0.62 < 0.8 < whole["recall"]
    assert min(half["precision"], whole["precision"]) > 0.8  # what is left looks as real as before


def test_copies_are_distinguished_from_new_images(image: Image) -> None:
    assert values(image, image.examples("train", 200))["copies"] == 1
    assert values(image, image.examples("test", 1000))["copies"] == pytest.approx(0.01, abs=0.005)


def test_distances_are_taken_at_equally_many_images(image: Image) -> None:
    more = noise(image, 500)
    held_out = image.size("test")
    a, b = image.evaluate(more), image.evaluate(more.head(held_out))
    assert a["frechet_judge"] == b["frechet_judge"]
    assert f"of {held_out} images" in a["frechet_judge"].meaning


def test_the_distance_of_more_images_is_the_mean_over_sets(image: Image) -> None:
    n = image.size("test")
    more = noise(image, 3 * n + 7)
    parts = [Samples(more.examples[i * n : (i + 1) * n]) for i in range(3)]
    found = image.evaluate(more)["frechet_judge"]
    each = [image.evaluate(part)["frechet_judge"].value for part in parts]
    assert len(set(each)) == 3
    assert found.value == pytest.approx(sum(each) / 3)
    assert 0 < found.error < 0.2 * found.value
    assert found.n == n


def test_small_sets_have_no_numbers_but_reasons(image: Image) -> None:
    real = image.examples("test", 400)
    for name, metric in image.evaluate(real.head(29)).items():
        few = name.startswith(("frechet", "kid", "precision", "recall", "density", "coverage"))
        assert math.isnan(metric.value) == few, name
        assert metric.reason == ("it needs 30 images of each set, there are 29" if few else "")
    for name, metric in image.evaluate(real.head(30)).items():
        assert math.isfinite(metric.value), name
        assert (metric.reason, metric.n) == ("", 30)


def test_few_held_out_images_are_a_reason(image: Image) -> None:
    """The judge's accuracy, the threshold of copies and the number of compared images depend on them."""
    train, test = image.source.splits["train"], image.source.splits["test"]
    held_out = replace(test, images=test.images[:6], labels=test.labels[:6], names=test.names[:6])
    source = replace(image.source, splits={"train": train, "test": held_out})
    reference = metrics.Reference.of(source, 1, metrics.Search.of(source))
    assert reference.judge
    images = test.centred(range(100))
    found = metrics.set_metrics(images, reference) | metrics.judge_metrics(
        images, test.labels[:100], reference.judge, 10
    )
    kid = found.pop("kid_judge")
    assert math.isfinite(kid.value)  # it has no bias that depends on n
    assert kid.n == 100
    for name, metric in found.items():
        assert math.isnan(metric.value), name
        assert metric.reason.endswith("there are 6"), name


def test_the_nearest_training_image_of_a_training_image_is_itself(image: Image) -> None:
    known = image.examples("train", 7)
    found = image.nearest(Samples([x.clip(1, 250) for x in known.examples]))
    assert all(bool((a == b).all()) for a, b in zip(found.examples.examples, known.examples, strict=True))
    assert known.cond is not None
    assert found.examples.cond is not None
    assert found.examples.cond["label"].tolist() == known.cond["label"].tolist()
    assert 0 < max(found.distances) < 0.1 * found.typical
    held_out = image.nearest(image.examples("test", 1000))
    assert torch.tensor(held_out.distances).median().item() == pytest.approx(held_out.typical)
