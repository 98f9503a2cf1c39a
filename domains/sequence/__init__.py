"""Texts of discrete letters; by default sums such as 47+85=132."""

from __future__ import annotations

from polydiff.contract.spec import DomainSpec

SPEC = DomainSpec(
    name="sequence",
    summary="Texts by discrete diffusion: sums, SMILES of molecules, or your own txt, smi, csv and fasta files.",
    config="polydiff.domains.sequence.config:SequenceConfig",
    factory="polydiff.domains.sequence.domain:SequenceDomain",
    hub_tasks={"generate": "text-generation"},
    suffixes=(".fasta", ".fa", ".faa", ".fna"),
    files=("*.txt",),  # no suffix of this domain: beside pictures and sounds lie captions
    columns=("sequence",),
    prepares={"moses": "polydiff.domains.sequence.data.moses:prepare"},
    presets={
        "quick": {"process": "masked"},
        "text8": {
            "process": "masked",
            "backbone.width": 256,
            "backbone.depth": 8,
            "backbone.heads": 8,
            "optim.lr": 5e-4,
            "optim.warmup": 1000,
            "train.steps": 100_000,
            "train.batch_size": 256,
            "train.ema": 0.9995,
            "train.checkpoint_every": 5000,
            "sample.steps": 256,
        },
    },
)
