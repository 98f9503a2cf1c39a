"""Names of the files of an exported model, the only ones that are sent to the hub or read from it."""

from __future__ import annotations

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
PIPELINE = "pipeline.yaml"
"""File that makes a folder that of a pipeline."""
RESOLVED, EVALUATION = "config.resolved.yaml", "evaluation.json"
CARD, PICTURE, DRAWN = "README.md", "samples.png", "samples/drawn"
"""The model card, its picture, and the folder of the samples that it shows."""
FILES = (
    *(CARD, "LICENSE*", CONFIG, WEIGHTS, MANIFEST, PIPELINE, RESOLVED, EVALUATION, PICTURE, f"{DRAWN}/*"),
    *("parts/*", "stages/*"),
)
"""Patterns of all these files, in which * stands for slashes too."""
