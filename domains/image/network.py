"""The network and batch that suit a size of images or a data set, in place of a preset's. This module imports no torch.

A U-Net attends and mixes at its coarsest level, which should have about 8 x 8 places. The preset `quick` is made for
digits of 8 x 8 pixels; its step on two CPU cores takes half a second or less at any size up to 64. So larger images
get patches that leave 32 x 32 places, and half the batch. Other presets get further levels only.
"""

from __future__ import annotations

import math
from typing import Any

from polydiff.backbones.config import UNetConfig

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


def quick_network(side: int, planes: int) -> dict[str, Any]:
    """Return keys of the preset quick for images of this side, {} for small ones.

    Arguments:
        side: Height and width in pixels.
        planes: Channels of an image.
    """
    if side <= SMALL:
        return {}
    patch = next(p for p in (LARGEST_PATCH, 2, 1) if p == 1 or (side >= FINEST * p and side % p == 0))
    levels = 1 + max(1, round(math.log2(side / patch / COARSEST)))
    return {
        "backbone.channels": max(32, 16 * math.ceil(planes * patch**2 / 16)),  # at least as many as a patch has numbers
        "backbone.mult": (1, *(2,) * (levels - 1)),
        "backbone.strides": (),
        "backbone.attention": (levels - 1,),
        "backbone.patch": patch,
        "train.batch_size": BATCH,
    }


def shapes_recipe(side: int, things: int) -> dict[str, Any]:
    """Return keys of the preset quick for scenes of shapes.

    Where a thing lies is decided at noise levels of about the largest principal standard deviation of the data, 19 at
    32 pixels. So a tenth of the training levels lies above it, as for digits, and the network sees coordinates.

    Arguments:
        side: Height and width in pixels.
        things: Largest number of things in a scene.
    """
    return {
        "schedule_options": {"sigma_min": 0.002, "sigma_max": 2.5 * side},
        "loss.times_options": {"mean": 0.8 + math.log(side / 32), "std": 1.6},
        "backbone.channels": 64,
        "backbone.mult": (1, 2),
        "backbone.strides": (),
        "backbone.blocks": 1,
        "backbone.attention": (1,),
        "backbone.patch": side // 16,
        "backbone.coordinates": True,
        "optim.lr": 1.5e-3,
        "train.batch_size": BATCH,
        "train.steps": 2500 if things == 1 else 10_000,
        "sample.guidance": 2.0,
    }


def encoder_recipe(side: int) -> dict[str, Any]:
    """Return keys of an autoencoder (learn=encode) for images of this side: codes of about a sixth of the numbers.

    Arguments:
        side: Height and width in pixels.
    """
    factor = 4 if side >= 2 * SMALL else 2
    return {
        "backbone.factor": factor,
        "backbone.patch": factor // 2,
        "backbone.codes": 8 if factor == 4 else 2,
        "train.batch_size": BATCH,
        "train.steps": 2000,
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
