"""Augmentation that does not leak: exact where it can be, known to the network, and absent from samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

import polydiff
from polydiff.config.merge import resolve
from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import conditions_of
from polydiff.core.conditions import AUGMENT, given
from polydiff.core.streams import stream, streams
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.source import augment
from polydiff.domains.image.data.warp import MOVES, NUMBERS, Warp, draw, inverse, training_images, warped
from polydiff.domains.image.domain import Image
from polydiff.support.errors import UserError
from polydiff.testing.backbone import awake
from polydiff.testing.domain import check_domain
from polydiff.training.data import batches, prefetch

P = 0.12
ONES = [
    *(Warp(mirror=True), Warp(flip=True), Warp(scale=1.0), Warp(turn=1.0), Warp(stretch=1.0, axis=0.5)),
    *(Warp(right=1.0), Warp(down=-1.0)),
]


def noise(side: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, side, side), generator=g, dtype=torch.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for i in range(60):
        folder = root / ("cat", "dog")[i % 2]
        folder.mkdir(exist_ok=True)
        Pillow.fromarray(noise(12, i).permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    return root


def opened(root: Path, **values: object) -> Image:
    return Image(ImageConfig(data=ImageData.model_validate({"name": "folder", "path": root, "size": 8} | values)))


@pytest.mark.parametrize("side", [4, 8, 9, 32, 65])
def test_flips_turns_by_ninety_degrees_and_moves_by_whole_pixels_are_exact(side: int) -> None:
    image = noise(side)
    assert torch.equal(warped(image, Warp(mirror=True)), image.flip(-1))
    assert torch.equal(warped(image, Warp(flip=True)), image.flip(-2))
    for quarter in (-1, 1, 2, 3, 4):
        assert torch.equal(warped(image, Warp(turn=quarter * math.pi / 2)), image.rot90(quarter, (-2, -1)))
    pixel = 1 / (MOVES * side)
    right, up = warped(image, Warp(right=2 * pixel)), warped(image, Warp(down=-pixel))
    assert torch.equal(right[:, :, 2:], image[:, :, :-2])
    assert torch.equal(right[:, :, :2], image[:, :, 1:3].flip(-1)), "the image is reflected beyond its edge"
    assert torch.equal(up[:, :-1], image[:, 1:])
    both = warped(image, Warp(mirror=True, turn=math.pi / 2, down=pixel))
    assert torch.equal(both[:, 1:], image.flip(-1).rot90(1, (-2, -1))[:, :-1])


def test_the_numbers_are_zero_if_and_only_if_nothing_changes() -> None:
    image = noise(16)
    assert not any(Warp().condition)
    assert warped(image, Warp()) is image or torch.equal(warped(image, Warp()), image)
    for warp in ONES:
        assert any(warp.condition)
        assert not torch.equal(warped(image, warp), image)
    for g in streams(0, "warp", range(300)):
        warp = draw(P, g)
        assert len(warp.condition) == NUMBERS
        assert any(warp.condition) != torch.equal(warped(image, warp), image)


def test_different_changes_have_different_numbers() -> None:
    conditions = [tuple(warp.condition) for warp in ONES]
    conditions += [tuple(Warp(turn=-1.0).condition), tuple(Warp(stretch=1.0, axis=-0.5).condition)]
    assert len(set(conditions)) == len(conditions)


@pytest.mark.parametrize("warp", ONES)
def test_an_image_of_one_colour_stays_as_it_is(warp: Warp) -> None:
    image = torch.full((3, 16, 16), 77, dtype=torch.uint8)
    assert torch.equal(warped(image, warp), image)


def test_scales_enlarge_stretches_lengthen_and_turns_keep_areas() -> None:
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[:, 24:40, 24:40] = 255

    def extent(warp: Warp) -> tuple[float, float, float]:
        seen = warped(image, warp)[0].float() / 255
        return float(seen.sum()), float(seen[32].sum()), float(seen[:, 32].sum())

    assert extent(Warp(scale=5)) == pytest.approx((1024, 32, 32), rel=0.03)
    assert extent(Warp(scale=-2.5))[0] == pytest.approx(128, rel=0.05)
    assert extent(Warp(stretch=2.5)) == pytest.approx((256, 16 * 2**0.5, 16 / 2**0.5), rel=0.05)
    assert extent(Warp(stretch=2.5, axis=math.pi / 2)) == pytest.approx((256, 16 / 2**0.5, 16 * 2**0.5), rel=0.05)
    assert extent(Warp(turn=0.6))[0] == pytest.approx(256, rel=0.03)
    assert float(inverse(Warp(scale=1, turn=2, stretch=3, axis=1)).det()) == pytest.approx(2**-0.4)


def test_each_change_has_its_probability_and_every_second_image_is_mirrored() -> None:
    n, p = 2000, 0.3
    drawn = torch.tensor([draw(p, g).condition for g in streams(0, "warp", range(n))])
    shares = (drawn != 0).double().mean(0).tolist()
    expected = [0.5, p / 2, p, p, p, p, p, p, p]
    assert all(abs(a - b) < 5 * math.sqrt(b * (1 - b) / n) for a, b in zip(shares, expected, strict=True))
    scales = drawn[:, 2][drawn[:, 2] != 0]
    assert float(scales.std()) == pytest.approx(1, abs=0.15)
    turned = drawn[:, 3] != 0
    assert ((drawn[turned, 3] + 1) ** 2 + drawn[turned, 4] ** 2).tolist() == pytest.approx([1.0] * int(turned.sum()))


def test_probability_0_gives_the_bits_of_crop_and_flip_alone(photos: Path) -> None:
    domain = opened(photos, crop="random", flip=True)
    x, _, cond = domain.batch("train", range(20), streams(0, "augment", range(20)))
    part = domain.source.splits["train"]
    plain = [augment(part.images[i], domain.data, stream(0, "augment", i)) for i in range(20)]
    assert torch.equal(x, domain.codec.encode(torch.stack(plain)))
    assert set(cond or {}) == {"label"}
    augmented = opened(photos, crop="random", flip=True, augment=P)
    assert augmented.statistics == domain.statistics
    changed = augmented.batch("train", range(20), streams(0, "augment", range(20)))
    assert changed.cond
    same = (changed.cond[AUGMENT] == 0).all(1)
    assert 0 < same.sum() < 20
    assert torch.equal(changed.x[same], x[same])


def test_an_image_is_changed_by_its_own_generator_alone(photos: Path) -> None:
    domain = opened(photos, augment=0.5)
    part = domain.source.splits["train"]
    images, changes = training_images(part, range(12), domain.data, streams(0, "augment", range(12)))
    some, their = training_images(part, [7, 3], domain.data, streams(0, "augment", [7, 3]))
    assert torch.equal(images[[7, 3]], some)
    assert torch.equal(changes[AUGMENT][[7, 3]], their[AUGMENT])


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_do_not_depend_on_the_number_of_workers(workers: int, photos: Path) -> None:
    batch = batches(opened(photos, augment=0.5, crop="random"), 8, 0, condition_dropout=0.2)
    for a, b in zip(prefetch(batch, 0, 6, workers=0), prefetch(batch, 0, 6, workers=workers), strict=True):
        assert torch.equal(a.x, b.x)
        assert a.cond
        assert b.cond
        assert a.cond.keys() == b.cond.keys() == {"label", AUGMENT}
        assert all(torch.equal(a.cond[name], b.cond[name]) for name in a.cond)


def test_condition_dropout_withholds_the_users_conditions_as_often_as_before_and_never_the_changes(
    photos: Path,
) -> None:
    plain, augmented = (batches(opened(photos, augment=p), 16, 0, condition_dropout=0.5) for p in (0.0, 0.5))
    for step in range(5):
        a, b = plain(step).cond, augmented(step).cond
        assert a
        assert b
        assert torch.equal(a["label"], b["label"])
        assert (b["label"] < 0).any()
        assert given(b[AUGMENT]).all()


def test_held_out_images_and_new_ones_are_not_augmented(photos: Path) -> None:
    domain = opened(photos, augment=1.0)
    part = domain.source.splits["test"]
    x, _, cond = domain.batch("test", range(5), streams(0, "augment", range(5)))
    assert torch.equal(x, domain.codec.encode(part.centred(range(5))))
    assert set(cond or {}) == {"label"}
    assert set(domain.blank(streams(0, "blank", range(3)), {})[1] or {}) == {"label"}


def test_the_changes_are_no_condition_of_the_user(photos: Path) -> None:
    domain = opened(photos, augment=P)
    assert AUGMENT not in domain.conditions
    assert AUGMENT not in conditions_of(domain)
    assert AUGMENT not in task_conditions(domain)
    with pytest.raises(UserError, match="Unknown condition '_augment'"):
        domain.blank(streams(0, "blank", [0]), {AUGMENT: "1"})


@pytest.mark.parametrize("backbone", ["unet", "dit"])
def test_a_network_without_changes_sees_zeros_and_one_with_changes_sees_them(backbone: str, photos: Path) -> None:
    small = {"unet": {"channels": 8}, "dit": {"width": 16, "depth": 1, "heads": 2}}[backbone]
    values = {"data.path": photos, "data.size": 8, "data.augment": P, "backbone.name": backbone}
    config = resolve("image", values=values | {f"backbone.{key}": value for key, value in small.items()}).config
    domain = Image(config)
    network = awake(domain.backbone(), 0).eval()
    x, space, cond = domain.batch("train", range(4), streams(0, "augment", range(4)))
    label = {"label": (cond or {})["label"]}
    level = torch.zeros(4)

    def output(changes: Tensor | None) -> Tensor:
        with torch.no_grad():
            f = network(x, level, space, label if changes is None else {**label, AUGMENT: changes})
        return f if isinstance(f, Tensor) else f[0]

    without = output(None)
    assert torch.equal(output(torch.zeros(4, NUMBERS)), without)
    assert torch.equal(output(torch.full((4, NUMBERS), math.nan)), without)
    for number in range(NUMBERS):
        changes = torch.zeros(4, NUMBERS)
        changes[1, number] = 1.0
        change = (output(changes) - without).flatten(1).abs().amax(1)
        assert change[1] > 0
        assert not change[[0, 2, 3]].any()


def test_a_network_of_images_that_are_not_augmented_has_the_weights_that_it_had(photos: Path) -> None:
    plain, augmented = (opened(photos, augment=p).backbone().state_dict() for p in (0.0, P))
    assert len(augmented.keys() - plain.keys()) == 1
    assert not plain.keys() - augmented.keys()


def test_a_domain_with_augmentation_keeps_its_contract(photos: Path) -> None:
    findings = check_domain(opened(photos, augment=P, labels="none").config)
    assert {one.name for one in findings if not one.passed} <= {"judges"}  # which so few images do not allow


@pytest.mark.parametrize("values", [{"name": "digits"}, {"name": "shapes", "size": 32}])
def test_embedded_images_are_not_augmented(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"data\.augment are for folders"):
        ImageData.model_validate({"augment": 0.1, **values})


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_a_probability_lies_between_0_and_1(p: float) -> None:
    with pytest.raises(ValueError, match="augment"):
        ImageData.model_validate({"name": "folder", "augment": p})


def test_a_trained_run_samples_with_and_without_guidance_and_resumes(photos: Path, tmp_path: Path) -> None:
    overrides = {
        **{"data.path": photos, "data.size": 8, "data.augment": 0.3, "train.steps": 4, "train.batch_size": 4},
        **{"backbone.channels": 8, "optim.warmup": 0, "sample.steps": 3},
    }
    run = polydiff.train("image", tmp_path / "run", overrides=overrides, progress=False)
    polydiff.resume(run, steps=6, progress=False)
    model = polydiff.load(run)
    assert model.domain.config.data.augment == 0.3  # type: ignore[attr-defined]
    for guidance in (1.0, 2.0):
        samples = model.sample(3, cond={"label": "cat"}, guidance=guidance)
        assert all(image.shape == (3, 8, 8) for image in samples.examples)
    with pytest.raises(UserError, match="Unknown condition '_augment'"):
        model.sample(1, cond={AUGMENT: 1})
