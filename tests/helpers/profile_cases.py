"""Settings of a small run of images, for tests of times and memory."""

from __future__ import annotations

from polydiff.config.merge import Settings, resolve

SMALL = {"backbone.channels": "16", "backbone.blocks": "1", "train.batch_size": "8"}


def small(**more: str) -> Settings:
    """Return the settings of a small run, with more of them by key."""
    return resolve("image", words={**SMALL, **more})
