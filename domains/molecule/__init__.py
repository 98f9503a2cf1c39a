"""Molecules in space: by default all small organic ones, asked for by a property."""

from __future__ import annotations

from polydiff.domain import DomainSpec

SPEC = DomainSpec(
    name="molecule",
    summary="Molecules in 3-D: all small organic ones by property, or your own sdf, smi and csv files.",
    config="polydiff.domains.molecule.config:MoleculeConfig",
    factory="polydiff.domains.molecule.domain:MoleculeDomain",
    suffixes=(".sdf", ".smi", ".csv"),
    requires=("rdkit", "torch_geometric"),
    install='pip install "polydiff[molecule]"',
    presets={
        "quick": {},
        "small": {
            "data.max_heavy": 6,
            "train.precision": "auto",
            "backbone.hidden": 256,
            "backbone.layers": 9,
            "optim.lr": 5e-4,
            "optim.warmup": 1000,
            "train.steps": 60_000,
            "train.batch_size": 128,
            "train.ema": 0.9995,
            "train.checkpoint_every": 5000,
        },
    },
)
