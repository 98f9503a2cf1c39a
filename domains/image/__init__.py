"""Images; by default handwritten digits, conditioned on the class."""

from __future__ import annotations

from polydiff.contract.domain import DomainSpec

SPEC = DomainSpec(
    name="image",
    summary="Images: handwritten digits by class, or your own png, jpeg, webp, gif, avif, bmp, ppm and tiff files.",
    config="polydiff.domains.image.config:ImageConfig",
    factory="polydiff.domains.image.domain:Image",
    suffixes=(
        *(".png", ".apng", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"),
    ),
    requires=("PIL", "sklearn"),
    install='pip install "polydiff[image]"',
    presets={
        "quick": {},
        "small": {
            "data.size": 32,
            "schedule_options": {"sigma_min": 0.002, "sigma_max": 80.0},
            "backbone.channels": 128,
            "backbone.mult": (1, 2, 2),
            "backbone.blocks": 3,
            "backbone.attention": (1, 2),
            "backbone.dropout": 0.1,
            "loss.times_options": {"mean": -1.0, "std": 1.4},
            "optim.lr": 2e-4,
            "optim.warmup": 1000,
            "train.steps": 50_000,
            "train.batch_size": 128,
            "train.ema": 0.9995,
        },
    },
)
