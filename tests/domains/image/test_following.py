"""Stages of a cascade of images: what the base draws is what the stage that enlarges is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import tiny
from torch import Tensor

from polydiff.config.merge import resolve
from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.following import Fits, Follows
from polydiff.contract.tasks.enlarge import Enlarge, block_means
from polydiff.core.conditions import LOW, LOW_LEVEL, Number
from polydiff.core.streams import streams
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.source import shrunk
from polydiff.domains.image.domain import Image
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.training.data import batches

NOISE = (0.02, 1.0)


def opened(task: str = "generate", statistics: Mapping[str, Any] | None = None, **data: Any) -> Image:
    return Image(ImageConfig(task=task, data=ImageData(**data)), statistics)  # type: ignore[arg-type]


def folder_of(photos: Image) -> dict[str, Any]:
    """Return the data keys of the folder of photos."""
    return {"name": "folder", "path": photos.data.path, "size": 16, "test_share": 0.4}


def task_of(domain: Image) -> Enlarge:
    assert isinstance(domain.task, Enlarge)
    return domain.task


def low_of(domain: Image, n: int) -> dict[str, Tensor]:
    cond = domain.batch("test", range(n), streams(0, "test", range(n))).cond
    assert cond is not None
    return dict(cond)


def test_small_images_are_means_of_blocks_rounded_half_to_even() -> None:
    images = torch.randint(0, 256, (50, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for factor in (2, 3):
        exact = block_means(images.double(), factor)
        assert torch.equal(shrunk(images, factor), exact.round().to(torch.uint8))
    assert torch.equal(shrunk(images, 1), images)
    assert torch.equal(shrunk(images, 4), shrunk(shrunk(images, 2), 2))
    assert (shrunk(images, 6).double() - block_means(images.double(), 6)).abs().max() <= 1
    assert shrunk(torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), 4).item() == 255


@pytest.mark.parametrize("kind", ["digits", "shapes", "folder"])
def test_the_small_image_of_a_large_one_is_the_example_of_the_base(kind: str, photos: Image) -> None:
    """The mean of |low - example| is 0 on held-out and training examples, and each stage has its own statistics."""
    data = folder_of(photos) if kind == "folder" else {"name": kind}
    base, up = opened(shrink=2, **data), opened("upsample", noise=NOISE, **data)
    assert base.statistics["std"] != up.statistics["std"]
    n = min(100, up.size("test"))
    small = torch.stack(list(base.examples("test", n).examples))
    indices = up.source.splits["test"].spread(n)
    cond = up.batch("test", indices, streams(0, "test", indices)).cond
    assert cond is not None
    assert torch.equal(up.codec.decode(cond[LOW]), small)
    assert torch.equal(cond[LOW], up.codec.encode(small))
    followed = up.follow(base.examples("test", n), streams(0, "follow", range(n)))
    assert torch.equal(followed[LOW], cond[LOW])
    assert torch.equal(followed[LOW_LEVEL], cond[LOW_LEVEL])
    plain = opened("upsample", up.statistics, **data).batch("test", indices, streams(0, "test", indices)).cond
    assert plain is not None
    unit = 1 / (127.5 * up.codec.std)  # of one step of brightness in states
    assert (plain[LOW] - cond[LOW]).abs().max() <= 0.5001 * unit


def test_three_stages_see_the_same_images() -> None:
    base = opened(name="shapes", size=64, shrink=4)
    middle = opened("upsample", name="shapes", size=64, shrink=2, noise=NOISE)
    large = opened("upsample", name="shapes", size=64, noise=NOISE)
    assert middle.config.misfit(base.config) is None
    assert large.config.misfit(middle.config) is None
    for up, earlier in ((middle, base), (large, middle)):
        small = torch.stack(list(earlier.source.splits["test"].centred(range(30))))
        assert torch.equal(low_of(up, 30)[LOW], up.codec.encode(small))


def test_training_images_are_changed_before_they_are_shrunk(photos: Image) -> None:
    data = {**folder_of(photos), "size": 12, "crop": "random", "flip": True, "augment": 0.5}
    large, small = opened(**data), opened(shrink=2, **data)
    seen = [domain.batch("train", range(20), streams(3, "augment", range(20))) for domain in (large, small)]
    images = [domain.codec.decode(batch.x) for domain, batch in zip((large, small), seen, strict=True)]
    assert torch.equal(shrunk(images[0], 2), images[1])
    assert seen[1].x.shape == (20, 3, 6, 6)
    assert seen[1].cond is not None
    assert seen[0].cond is not None
    assert torch.equal(seen[0].cond["_augment"], seen[1].cond["_augment"])


def test_stages_with_colours_scaled_apart_agree() -> None:
    """States of the base are worth other images under its statistics than under the next stage's; images agree."""
    base, up = opened(name="shapes", shrink=2), opened("upsample", name="shapes", noise=NOISE)
    apart = opened(
        name="shapes", shrink=2, statistics={**base.statistics, "std": 3 * base.codec.std, "mean": [0.5, -0.5, 0.0]}
    )
    conditions = []
    for domain in (base, apart):
        x, space, _ = domain.batch("test", range(20), streams(0, "test", range(20)))
        conditions.append(up.follow(Samples(domain.decode(x, space)), streams(0, "follow", range(20)))[LOW])
    assert torch.equal(conditions[0], conditions[1])
    assert torch.equal(conditions[0], low_of(up, 20)[LOW])


def test_each_example_of_training_has_a_level_of_its_own_and_noise_of_this_level() -> None:
    up = opened("upsample", name="shapes", noise=NOISE)
    n = 200
    batch = up.batch("train", range(n), streams(0, "augment", range(n)))
    assert batch.cond is not None
    levels = batch.cond[LOW_LEVEL].exp() - NOISE[0]
    assert 0.1 < float((levels < 1e-6).double().mean()) < 0.32
    assert levels.unique().numel() > 0.7 * n
    clean = task_of(up).observe(batch.x, [])[LOW]
    noise = (batch.cond[LOW] - clean).square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(noise, levels, rtol=0.15, atol=1e-6)
    alone = up.batch("train", [17], streams(0, "augment", [17])).cond
    assert alone is not None
    for name in (LOW, LOW_LEVEL):
        assert torch.equal(alone[name][0], batch.cond[name][17])
    held_out = low_of(up, 50)[LOW_LEVEL]
    assert task_of(up).noise.is_exact(held_out).all()  # type: ignore[union-attr]


def test_the_noise_that_is_added_when_following_is_each_samples_own() -> None:
    base, up = opened(name="shapes", shrink=2), opened("upsample", name="shapes", noise=NOISE)
    small = base.examples("test", 6)
    noisy = up.follow(small, streams(0, "follow", range(6)), 0.3)
    clean = up.follow(small, streams(0, "follow", range(6)))
    torch.testing.assert_close((noisy[LOW] - clean[LOW]).square().mean().sqrt(), torch.tensor(0.3), rtol=0.05, atol=0)
    alone = up.follow(small[4:5], streams(0, "follow", [4]), 0.3)
    assert torch.equal(alone[LOW][0], noisy[LOW][4])
    kinds = conditions_of(up)
    assert isinstance(kinds[LOW_LEVEL], Number)
    assert all(kinds[name].mismatch(value, 6) is None for name, value in noisy.items())


def test_the_small_image_and_its_level_are_withheld_together_and_captions_alone() -> None:
    up = opened("upsample", name="shapes", noise=NOISE)
    cond = batches(up, 64, seed=0, condition_dropout=0.4)(0).cond
    assert cond is not None
    gone = {name: value.flatten(1).isnan().all(1) for name, value in cond.items() if name != "text" and value.dim() > 1}
    absent = cond[LOW_LEVEL].isnan()
    assert torch.equal(gone[LOW], absent)
    assert 0.4 < float(absent.double().mean()) < 0.9
    text = (cond["text"] < 0).all(1)
    assert (text != absent).any()  # one without the other


def test_a_users_picture_whose_sides_the_factor_does_not_divide_is_reduced_too() -> None:
    up = opened("upsample", noise=NOISE)
    x = torch.randn(1, 1, 9, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(task_of(up).observe(x, [])[LOW], block_means(x, 2))


def test_digits_that_are_shrunk_are_judged_at_their_size() -> None:
    base = opened(shrink=2)
    found = base.evaluate(base.examples("test", 60))
    assert found["judge_agrees"].value > 0.5  # by chance 0.1
    assert base.source.levels == range(256)


def test_misfits_have_reasons_in_words() -> None:
    base, up = opened(name="shapes", shrink=2), opened("upsample", name="shapes", noise=NOISE)
    assert provides(up, Follows)
    assert provides(up.config, Fits)
    assert up.config.misfit(base.config) is None
    small = opened("upsample", name="shapes", shrink=2, noise=NOISE)
    assert "enlarges 8 x 8 to 16 x 16 pixels, and the earlier stage draws 16 x 16" in str(
        small.config.misfit(base.config)
    )
    assert "data.size=32 data.shrink=4" in str(small.config.misfit(base.config))
    assert "3 channels, and the earlier stage draws images of 1" in str(up.config.misfit(opened().config))
    assert "task=generate" in str(base.config.misfit(base.config))
    assert "of the domain audio" in str(up.config.misfit(resolve("audio").config))
    with pytest.raises(UserError, match=r"shape \(3, 32, 32\); this stage enlarges \(3, 16, 16\)"):
        up.follow(opened(name="shapes").examples("test", 2), streams(0, "follow", range(2)))
    with pytest.raises(UserError, match="follows no other stage"):
        base.follow(base.examples("test", 2), streams(0, "follow", range(2)))
    with pytest.raises(UserError, match=r"up to 1 \(data.noise\)"):
        up.follow(base.examples("test", 2), streams(0, "follow", range(2)), 1.5)
    plain = opened("upsample", name="shapes")
    with pytest.raises(UserError, match="without noise"):
        plain.follow(base.examples("test", 2), streams(0, "follow", range(2)), 0.1)
    assert plain.follow(base.examples("test", 2), streams(0, "follow", range(2))).keys() == {LOW}


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("generate", {"size": 9, "shrink": 2}, "data.shrink=2 must divide the 9 pixels"),
        ("generate", {"shrink": 4}, "leave 4 or more"),
        ("generate", {"noise": (0.1, 1)}, "data.noise is noise on the small image of task=upsample"),
        ("upsample", {"noise": (1, 0.1)}, "the least level, 1, is above the greatest, 0.1"),
        ("upsample", {"noise": (0, 1)}, "greater than 0"),
        ("upsample", {"size": 24, "shrink": 2, "factor": 8}, "data.factor=8 does not divide the 12 pixels"),
    ],
)
def test_keys_that_do_not_fit_are_errors(task: str, data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened(task, **data)


def test_scenes_that_are_shrunk_are_enlarged_for_the_detector() -> None:
    base = opened(name="shapes", shrink=2)
    found = base.agreement(base.examples("test", 200))
    assert found["all_right"].value > 0.95
    exchanged = base.examples("test", 200)
    turned = Samples(exchanged.examples[::-1], exchanged.cond)
    assert base.agreement(turned)["all_right"].value < 0.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("cascade")
    keys = {"train.steps": 20, "train.batch_size": 16}
    base = tiny("image", folder / "base", **keys, **{"data.shrink": 2})
    up = tiny("image", folder / "up", **keys, **{"task": "upsample", "data.noise": NOISE, "sample.guidance": 2.0})
    return base, up


@pytest.fixture(scope="module")
def stages(runs: tuple[Path, Path]) -> tuple[Model, Model]:
    return Model.load(runs[0]), Model.load(runs[1])


def test_both_stages_sample_by_hand_and_each_sample_depends_on_its_own_number(stages: tuple[Model, Model]) -> None:
    base, up = stages
    assert up.config.misfit(base.config) is None  # type: ignore[attr-defined]
    small = base.sample(5, seed=1)
    assert small.examples[0].shape == (1, 4, 4)

    def drawn(numbers: range) -> Samples:
        of = streams(1, "up/follow", range(5))
        cond = up.domain.follow(small, of, 0.3)  # type: ignore[attr-defined]
        return up.request().under(cond).joined(numbers, seed=1)

    large = drawn(range(5))
    assert [example.shape for example in large] == [(1, 8, 8)] * 5
    assert torch.equal(drawn(range(3, 5)).examples[0], large.examples[3])
    other = up.domain.follow(base.sample(5, seed=2), streams(1, "up/follow", range(5)), 0.3)  # type: ignore[attr-defined]
    assert not torch.equal(
        torch.stack(list(up.request().under(other).joined(range(5), 1).examples)), torch.stack(list(large.examples))
    )


def test_guidance_keeps_the_small_image_and_its_level_in_both_estimates(stages: tuple[Model, Model]) -> None:
    base, up = stages
    cond = up.domain.follow(base.sample(3), streams(0, "follow", range(3)), 0.1)  # type: ignore[attr-defined]
    request = up.request(guidance=2.0).under(cond)
    _, whole = request.blank(range(3), 0)
    weak = request.weak(whole, 0, range(3))
    assert whole is not None
    assert weak is not None
    for name in (LOW, LOW_LEVEL):
        assert torch.equal(weak[name], whole[name])
    assert (weak["label"] == -1).all()
    assert (whole["label"] >= 0).all()


def test_after_training_the_level_0_and_no_level_have_different_outputs(runs: tuple[Path, Path]) -> None:
    up = Model.load(runs[1], weights="model")  # the average of 20 steps is still near the initial weights
    batch = up.domain.batch("test", range(8), streams(0, "test", range(8)))
    sigma, space = torch.full((8,), 1.0), batch.space
    cond = dict(batch.cond or {})

    def output(**changes: Tensor) -> Tensor:
        with torch.no_grad():
            made: Tensor = up.denoiser(batch.x, sigma, space, {**cond, **changes})
            return made

    exact, unknown = output(), output(low_level=torch.full((8,), torch.nan))
    noise = task_of(up.domain).noise  # type: ignore[arg-type]
    assert noise is not None
    least = output(low_level=noise.encode(torch.full((8,), NOISE[0])))
    for other in (unknown, least):
        assert float((exact - other).abs().amax((1, 2, 3)).min()) > 1e-4  # 0 if the level were not read


def test_a_restoration_of_held_out_examples_has_the_level_0_and_keeps_the_means(
    stages: tuple[Model, Model], tmp_path: Path
) -> None:
    from polydiff.model.restore import degrade_held_out, read_degraded, restore

    _, up = stages
    given, _ = degrade_held_out(up, range(6))
    assert given.cond is not None
    assert task_of(up.domain).noise.is_exact(given.cond[LOW_LEVEL]).all()  # type: ignore[arg-type,union-attr]
    made = restore(up, given)
    small = up.domain.codec.decode(given.cond[LOW])  # type: ignore[attr-defined]
    means = block_means(torch.stack(list(made.examples)).float(), 2)
    assert (means - small.float()).abs().max() <= 0.75  # four pixels, each rounded once
    up.domain.save(Samples(list(small)), tmp_path)
    read = read_degraded(up, sorted(tmp_path.glob("*.png")))
    assert read.cond is not None
    assert torch.equal(read.cond[LOW], given.cond[LOW])
    assert torch.equal(read.cond[LOW_LEVEL], given.cond[LOW_LEVEL])
