"""The network and the training that suit a size of images or a data set, in place of a preset's. No torch here.

What scenes of shapes need of any network (`scenes_training`) is apart from the network of each kind that suits them
(`scenes_network`). For other images, `suited_network` fits the network to their size.

A U-Net attends and mixes at its coarsest level, which should have about 8 x 8 places. A transformer attends to all
patches, which should be 8 x 8 to 16 x 16. The preset `quick` is made for digits of 8 x 8 pixels; its step on two CPU
cores takes half a second or less at any size up to 64. So larger images get patches, and half the batch. Presets for a
GPU get further levels or larger patches only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.contract.sections.network import BackboneConfig

QUICK = ("quick", "dit", "jit")
"""Presets for first tests on a CPU, which are made for digits."""
HIGH = 0.1
"""Share of the training levels above the largest principal standard deviation of images."""
SMALL = 16
"""Largest side in pixels for which the preset quick is left as it is."""
COARSEST = 8
"""Side of the coarsest level, in places."""
ATTENDING = 16
"""Largest side of a level with attention in presets other than quick."""
FINEST, LARGEST_PATCH = 32, 4
"""Least side of the finest level of quick in places, and largest side of its patches."""
BATCH = 32
"""Batch size of quick beyond `SMALL`."""
FEWEST, MOST = 8, 16
"""Least and largest number of a transformer's patches along an axis."""
WIDTH, DEPTH, HEADS = 128, 4, 4
"""A transformer for first tests on a CPU: that of the preset dit."""
SCENES_WIDTH, SCENES_DEPTH, SCENES_HEADS = 128, 6, 4
"""A transformer for scenes of shapes, whose step takes about as long as that of the U-Net."""


def suited_network(
    preset: str, network: BackboneConfig, side: int, planes: int, factor: int
) -> dict[str, Mapping[str, Any]]:
    """Return what fits a network to images: the key from which it follows -> dotted keys and their values.

    Arguments:
        preset: Name of the preset.
        network: The network; one of another kind than U-Net and DiT is left alone.
        side: Height and width in pixels.
        planes: Channels of an image.
        factor: Pixels along an axis for which a condition has one place (`Enlarge`), 1: none. A patch is a divisor or a
            multiple of it.
    """
    if isinstance(network, DiTConfig):
        return suited_transformer(preset, network, side, planes, factor)
    if not isinstance(network, UNetConfig):
        return {}
    found = quick_network(side, planes, factor) if preset in QUICK else deeper_network(side, network)
    return {"data.size": found}


def suited_transformer(
    preset: str, network: DiTConfig, side: int, planes: int, factor: int
) -> dict[str, Mapping[str, Any]]:
    """Return what fits a transformer to images; arguments and result as in `suited_network`.

    Images of at most `SMALL` pixels, and a patch that leaves as many tokens as it should, keep the patch.
    """
    own: dict[str, Any] = {}
    if preset == "quick":
        own = {"backbone.width": WIDTH, "backbone.depth": DEPTH, "backbone.heads": HEADS}
    if side <= SMALL:
        return {"backbone.name": own}
    found: dict[str, Any] = {"train.batch_size": BATCH} if preset in QUICK else {}
    patch = network.patch
    if not FEWEST <= math.ceil(side / patch) <= MOST:
        found["backbone.patch"] = patch = patch_for(side, factor)
    width, heads = own.get("backbone.width", network.width), own.get("backbone.heads", network.heads)
    if not network.bottleneck and planes * patch**2 > width:
        found["backbone.width"] = width_for(planes * patch**2, heads)
    return {"backbone.name": own, "data.size": found}


def patch_for(side: int, factor: int) -> int:
    """Return the smallest patch that leaves 8 to 16 places along an axis, if possible a divisor of the side.

    Arguments:
        side: Height and width in pixels, at least 16.
        factor: As in `suited_network`.
    """
    fitting = [p for p in range(math.ceil(side / MOST), side // FEWEST + 1) if aligned(p, factor)]
    return next((p for p in fitting if side % p == 0), (*fitting, factor)[0])


def aligned(patch: int, factor: int) -> bool:
    """Return whether one of the two divides the other."""
    return patch % factor == 0 or factor % patch == 0


def width_for(numbers: int, heads: int) -> int:
    """Return the least width of a transformer that is at least the numbers of a patch."""
    unit = 4 * heads
    return unit * math.ceil(numbers / unit)


def quick_network(side: int, planes: int, factor: int = 1) -> dict[str, Any]:
    """Return keys of a U-Net for first tests with images of this side, {} for small ones.

    Arguments:
        side: Height and width in pixels.
        planes: Channels of an image.
        factor: As in `suited_network`.
    """
    if side <= SMALL:
        return {}
    fitting = (p for p in (LARGEST_PATCH, 2) if side >= FINEST * p and side % p == 0 and aligned(p, factor))
    patch = next(fitting, 1)
    levels = 1 + max(1, round(math.log2(side / patch / COARSEST)))
    return {
        "backbone.channels": max(32, 16 * math.ceil(planes * patch**2 / 16)),  # at least as many as a patch has numbers
        "backbone.mult": (1, *(2,) * (levels - 1)),
        "backbone.strides": (),
        "backbone.attention": (levels - 1,),
        "backbone.patch": patch,
        "train.batch_size": BATCH,
    }


def scenes_noise(side: int) -> dict[str, Any]:
    """Return the noise levels of training on scenes of shapes, as options of the schedule edm and of log-normal times.

    Where a thing lies is decided at noise levels of about the largest principal standard deviation of the data, 19 at
    32 pixels. So a tenth of the training levels lies above it, as for digits.

    Arguments:
        side: Height and width in pixels.
    """
    return {
        "schedule_options": {"sigma_min": 0.002, "sigma_max": 2.5 * side},
        "loss.times_options": {"mean": 0.8 + math.log(side / 32), "std": 1.6},
    }


def scenes_training(things: int, in_codes: bool = False) -> dict[str, Any]:
    """Return the length and the sampling of a first test on scenes, with any network.

    Arguments:
        things: Largest number of things of a scene.
        in_codes: Whether the diffusion works in the codes of an autoencoder, where half as many steps do.
    """
    steps = 2500 if things == 1 else 10_000
    return {
        "train.batch_size": BATCH,
        "train.steps": steps // 2 if in_codes else steps,
        **({"optim.lr": 5e-4} if in_codes and things > 1 else {}),
        "sample.guidance": 2.0,
        "sample.steps": 10 if things == 1 else 20,
    }


def scenes_enlarging() -> dict[str, Any]:
    """Return the length of a first test on enlarging small scenes (task=upsample), with any network."""
    return {"train.batch_size": BATCH, "train.steps": 1500}


def encoder_recipe(side: int) -> dict[str, dict[str, Any]]:
    """Return what suits an autoencoder (learn=encode) for images of this side: codes of about a sixth of the numbers.

    Arguments:
        side: Height and width in pixels.
    """
    factor = 4 if side >= 2 * SMALL else 2
    return {
        "learn": {"backbone.factor": factor, "backbone.patch": factor // 2, "train.batch_size": BATCH},
        "data.size": {"backbone.codes": 8 if factor == 4 else 2},
        "domain": {"train.steps": 2000},
    }


def scenes_network(network: BackboneConfig, side: int, things: int) -> dict[str, Any]:
    """Return the network of a kind, and its learning rate, for first tests on scenes; {} for one of another kind.

    Which thing is on which side of which is learned at low learning rates alone, so scenes of several get one.

    Arguments:
        network: The network.
        side: Height and width in pixels.
        things: Largest number of things of a scene.
    """
    if isinstance(network, UNetConfig):
        return {
            "backbone.channels": 64,
            "backbone.mult": (1, 2),
            "backbone.strides": (),
            "backbone.blocks": 1,
            "backbone.attention": (1,),
            "backbone.patch": max(1, side // 16),
            "optim.lr": 1.5e-3 if things == 1 else 5e-4,
        }
    if not isinstance(network, DiTConfig):
        return {}
    patch = max(1, side // FEWEST)
    width = SCENES_WIDTH if network.bottleneck else max(SCENES_WIDTH, width_for(3 * patch**2, SCENES_HEADS))
    return {
        "backbone.patch": patch,
        "backbone.width": width,
        "backbone.depth": SCENES_DEPTH,
        "backbone.heads": SCENES_HEADS,
        "optim.lr": 1e-3 if things == 1 else 5e-4,
    }


def deeper_network(side: int, network: UNetConfig) -> dict[str, Any]:
    """Return keys that add levels to a network until its coarsest one has about 8 x 8 places, {} if it has.

    Arguments:
        side: Height and width of images in pixels.
        network: The network.
    """
    places = places_of(side, network)
    further = round(math.log2(places[-1] / COARSEST))
    if further < 1:
        return {}
    places += [places[-1] / 2 ** (i + 1) for i in range(further)]
    return {
        "backbone.mult": (*network.mult, *(network.mult[-1],) * further),
        "backbone.strides": (*network.level_strides, *(2,) * further) if network.strides else (),
        "backbone.attention": tuple(level for level, at in enumerate(places) if at <= ATTENDING),
    }


def places_of(side: int, network: UNetConfig) -> list[float]:
    """Return the side of each level of a network in places."""
    return [side / network.patch / math.prod(network.level_strides[:level]) for level in range(len(network.mult))]


def levels_in_words(side: int, network: UNetConfig) -> str:
    """Return a network's levels and channels, such as "levels of 32, 16, 8 places with 32, 64, 64 channels"."""
    levels = ", ".join(str(math.ceil(at)) for at in places_of(side, network))
    patches = f" of {network.patch} x {network.patch} pixels" if network.patch > 1 else ""
    widths = ", ".join(str(network.channels * m) for m in network.mult)
    return f"levels of {levels} places{patches} with {widths} channels"


def tokens_in_words(side: int, network: DiTConfig) -> str:
    """Return a transformer's tokens and width, such as "16 x 16 patches of 2 x 2 pixels, width 128, 4 blocks"."""
    places, patch = math.ceil(side / network.patch), network.patch
    return f"{places} x {places} patches of {patch} x {patch} pixels, width {network.width}, {network.depth} blocks"
