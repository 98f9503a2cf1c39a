"""Audio: waveforms, by default synthesised plucked strings conditioned on their note."""

from __future__ import annotations

from polydiff.contract.spec import DomainSpec

SPEC = DomainSpec(
    name="audio",
    summary="Waveforms: plucked strings by note, or your own wav, flac, ogg and mp3 files.",
    config="polydiff.domains.audio.config:AudioConfig",
    factory="polydiff.domains.audio.domain:Audio",
    hub_tasks={"text": "text-to-audio", "restore": "audio-to-audio", "encode": "feature-extraction"},
    suffixes=(
        *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"),
        *(".caf", ".jsonl", ".tsv", ".tar", ".npy"),
    ),
    columns=("path", "file_name"),
    requires=("torchaudio", "soundfile"),
    prepares={"instruments": "polydiff.domains.audio.data.instruments:prepare"},
    install='pip install "polydiff[audio]"',
    presets={
        "quick": {"optim.name": "muon", "optim.lr": 8e-3, "optim.rows": 64, "train.steps": 2500},
        "small": {
            "data.sample_rate": 16000,
            "data.length": 16384,
            "data.n_train": 1_000_000,
            "schedule_options.sigma_max": 160.0,
            "backbone.mult": (1, 2, 2, 4),
            "backbone.strides": (4, 2, 2),
            "backbone.blocks": 2,
            "backbone.attention": (1, 2, 3),
            "backbone.heads": 8,
            "optim.lr": 3e-4,
            "optim.warmup": 1000,
            "train.steps": 40_000,
            "train.batch_size": 64,
            "train.ema": 0.9995,
            "train.checkpoint_every": 2000,
            "sample.steps": 40,
        },
        "music": {
            "data.sample_rate": 44100,
            "data.channels": 2,
            "data.length": 2**18,
            "data.n_train": 1_000_000,
            "schedule_options.sigma_max": 640.0,
            "backbone.patch": 32,
            "backbone.mult": (1, 2, 2, 4, 4, 4),
            "backbone.strides": (4, 2, 2, 2, 2),
            "backbone.blocks": 2,
            "backbone.attention": (2, 3, 4, 5),
            "backbone.heads": 8,
            "backbone.recompute": True,
            "optim.lr": 1e-4,
            "optim.warmup": 2000,
            "train.steps": 200_000,
            "train.batch_size": 16,
            "train.ema": 0.9999,
            "train.checkpoint_every": 5000,
            "sample.steps": 50,
        },
    },
    pipelines={
        "latent": {"stages": {"autoencoder": {"learn": "encode"}, "diffusion": {"codec": "autoencoder"}}},
    },
)
