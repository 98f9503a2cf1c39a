"""Names of the files of an exported model, the only ones that are sent to the hub or read from it."""

from __future__ import annotations

from fnmatch import fnmatch

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
OF_EXPORTED = (CONFIG, WEIGHTS, MANIFEST)
"""Files that every exported model has."""
PIPELINE = "pipeline.yaml"
"""File that makes a folder that of a pipeline."""
RESOLVED, EVALUATION = "config.resolved.yaml", "evaluation.json"
CALIBRATION = "calibration.json"
"""Samplers that were fitted to the network (`polydiff.run.calibrations`)."""
CARD, PICTURE, DRAWN = "README.md", "samples.png", "samples/drawn"
"""The model card, its picture, and the folder of the samples that it shows."""
SAMPLES = 8
"""Number of samples of a card, unless another is requested."""
FILES = (
    CARD,
    "LICENSE*",
    CONFIG,
    WEIGHTS,
    MANIFEST,
    PIPELINE,
    RESOLVED,
    EVALUATION,
    CALIBRATION,
    PICTURE,
    f"{DRAWN}/*",
)
"""Patterns of the files of one model."""
NESTED = ("parts", "stages")
"""Folders that hold models, each in a folder of this form."""
ENCODER = "text-encoder"
"""Beginning of the name of a text encoder's folder in parts/, all of whose files count."""


def is_file_of_model(name: str) -> bool:
    """Return whether a file, by its path in the folder, is one of an exported model."""
    first, _, rest = name.partition("/")
    if first not in NESTED:
        return any(fnmatch(name, pattern) for pattern in FILES)
    part, _, inner = rest.partition("/")
    encoder = first == "parts" and part.startswith(ENCODER) and "/" not in inner
    return bool(inner) and (encoder or is_file_of_model(inner))
