"""Molecules in space: by default all small organic ones, asked for by a property."""

from __future__ import annotations

from polydiff.domain import DomainSpec

SPEC = DomainSpec(
    name="molecule",
    summary="Molecules in 3-D: all small organic ones by property, QM9, or your own sdf, xyz, smi and csv files.",
    config="polydiff.domains.molecule.config:MoleculeConfig",
    factory="polydiff.domains.molecule.domain:MoleculeDomain",
    suffixes=(".sdf", ".xyz", ".smi", ".csv", ".tsv", ".gz"),
    requires=("rdkit", "torch_geometric"),
    install='pip install "polydiff[molecule]"',
    presets={
        "quick": {},
        "small": {
            "data.max_heavy": 7,
            "train.precision": "auto",
            "backbone.hidden": 256,
            "backbone.layers": 8,
            "backbone.pair": 64,
            "backbone.vectors": 32,
            "backbone.self_condition": True,
            "optim.lr": 1e-3,
            "optim.warmup": 1000,
            "train.steps": 40_000,
            "train.batch_size": 256,
            "train.ema": 0.9995,
            "train.checkpoint_every": 5000,
        },
        "edm": {
            "schedule": "polynomial_2",
            "schedule_options": {"T": 1000, "precision": 1e-5},
            "target": "eps",
            "data.conditions": (),
            "data.scale": 1.0,
            "data.type_scale": 0.25,
            "data.number_scale": 0.1,
            "data.centred": False,
            "loss.times": "uniform",
            "loss.times_options": {},
            "backbone.name": "egnn",
            "backbone.hidden": 256,
            "backbone.layers": 9,
            "optim.name": "adamw",
            "optim.lr": 1e-4,
            "optim.betas": (0.9, 0.999),
            "optim.weight_decay": 1e-12,
            "optim.decay": "constant",
            "train.steps": 60_000,
            "train.ema": 0.9999,
            "train.checkpoint_every": 5000,
            "sample.sampler": "ddpm",
            "sample.spacing": "time",
            "sample.steps": 1001,
        },
    },
)
