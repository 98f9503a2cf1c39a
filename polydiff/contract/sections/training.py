"""Sections on training: the optimizer, the losses and the loop."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from polydiff.contract.sections.base import Numbers, RunPath, Section

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimConfig(Section):
    """How weights are updated."""

    name: str = "adamw"
    """Optimizer: adamw, muon or sgd; muon often needs fewer steps."""
    lr: float = Field(2e-4, gt=0, le=100)
    """Learning rate after the warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay rates of AdamW's running means of the gradient and of its square."""
    rows: int | None = Field(None, ge=16, le=10**6)
    """Most rows of a matrix that Muon orthogonalises together, such as 64, which costs less; null: all."""
    weight_decay: float = Field(0.0, ge=0, le=1000)
    """Decoupled weight decay."""
    warmup: int = Field(100, ge=0, le=10**9)
    """Steps of linear learning rate warm-up."""
    decay: Literal["constant", "cosine", "linear"] = "constant"
    """Shape of the learning rate from the end of the warm-up to the last step."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient; a larger gradient is scaled down to it."""


class EncodeConfig(Section):
    """The loss of an autoencoder (learn=encode)."""

    kl: float = Field(1e-3, ge=0, le=1e6)
    """Weight of the divergence of codes from standard normal ones, per number of a code."""
    bits: float | None = Field(None, gt=0, le=64)
    """Rate that codes are drawn towards, in bits per number of a code; replaces the weight `kl`. null: none."""
    norm: Literal["l1", "l2"] = "l1"
    """Norm of the error, per number of a state."""
    spectral: float = Field(0.0, ge=0, le=1e6)
    """Weight of the distance of spectra at several resolutions; for waveforms."""
    noise: float = Field(0.1, ge=0, le=10)
    """Largest noise on codes in training, as a multiple of their spread, which the decoder learns to withstand."""
    shrink: float = Field(0.0, ge=0, le=1e6)
    """Weight of scale equivariance: a code of half the sides should decode to the state of half the sides."""


class LossConfig(Section):
    """The loss: objective, norm, weighting and distribution of noise levels."""

    objective: str = "denoising"
    """Training objective: denoising, ect, shortcut, mean_flow or another of docs/few_step.md and docs/likelihood.md."""
    objective_options: Numbers = {}
    """Options of the objective, such as {q: 2}."""
    norm: str = "l2"
    """Norm of the error: l2, l1 or another of docs/losses.md."""
    weighting: str = "simple"
    """Weighting of noise levels: simple, edm, min_snr, uncertainty, elbo or another of docs/losses.md."""
    times: str = "uniform"
    """Distribution of noise levels: uniform, adaptive, log_normal, logit_normal or another of docs/losses.md."""
    norm_options: Numbers = {}
    """Options of the norm, such as {delta: 0.1}."""
    weighting_options: Numbers = {}
    """Options of the weighting, such as {gamma: 5}."""
    times_options: Numbers = {}
    """Options of the distribution of noise levels, such as {mean: -1.2, std: 1.2}."""
    components: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Loss weights of a state's parts, such as {features: 0.25} for molecules; parts that are not named weigh 1."""


class TrainConfig(Section):
    """The training loop."""

    steps: int = Field(10_000, ge=1, le=10**9)
    """Number of optimizer steps."""
    minutes: Annotated[float, Field(gt=0, le=10**7)] | None = None
    """Budget of training time, sets of samples included; steps that do not fit are not trained; null: none."""
    batch_size: int = Field(64, ge=1, le=10**6)
    """Number of examples in the batch of a step."""
    accumulate: int = Field(1, ge=1, le=10**6)
    """Number of pieces of a batch that are trained on in turn, to save memory; gradients are those of the batch."""
    like_sizes: int = Field(0, ge=0, le=10**6)
    """Number of batches within which examples are sorted by size, to reduce padding; 0: no sorting."""
    checkpoint_every: int = Field(1_000, ge=1, le=10**9)
    """Steps between checkpoints."""
    keep: int = Field(2, ge=1, le=10**6)
    """Number of checkpoints to keep; older ones are deleted after a newer one is complete."""
    log_every: int = Field(20, ge=1, le=10**9)
    """Steps between lines of metrics.jsonl."""
    sample_every: int = Field(0, ge=0, le=10**9)
    """Steps between sets of samples; 0: up to six sets in a run."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights; it warms up as (1 + step) / (10 + step)."""
    condition_dropout: float = Field(0.1, ge=0, le=1)
    """Share of examples that are trained on without conditions; classifier-free guidance requires some."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Precision of the network; auto: bf16 if the device is fast at it, else float32."""
    workers: Literal["auto"] | int = "auto"
    """Threads that prepare batches ahead, which changes no result; auto: one, or up to four for a GPU; 0: none."""
    compile: bool = False
    """Whether to compile the network (torch.compile); it takes a minute at the start and speeds up long runs."""
    ema_snapshots: int = Field(0, ge=0, le=10**4)
    """Number of snapshots of power-function averages to keep, which `--ema` requires; 0: none. They take memory."""
    codes: Literal["draw", "cache"] = "draw"
    """With a codec: draw encodes each example each time it is seen; cache encodes all of them once, keeps that in
    $POLYDIFF_CACHE, and is for examples that are not changed at random."""
    init: RunPath | None = None
    """Run or checkpoint whose averaged weights and statistics training starts from; None: from scratch."""

    @field_validator("workers", mode="before")
    @classmethod
    def _number(cls, workers: Any) -> Any:
        if workers != "auto" and not (str(workers).isdecimal() and len(str(workers)) < 10 and int(str(workers)) <= 256):
            raise ValueError("should be auto or a whole number of 0 to 256")
        return workers


class LaunchConfig(Section):
    """The processes that train together."""

    processes: int = Field(1, ge=1, le=10**5)
    """Number of processes that polydiff starts; 1: train in this process."""
    engine: Literal["torchrun", "ray"] = "torchrun"
    """What starts several processes: torchrun on this machine, or Ray on a cluster, whose address RAY_ADDRESS says."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """What each process holds: ddp: all weights; fsdp: a part of the weights, of their averages and of the optimizer's
    state, for networks that one device cannot hold. The losses are the same."""
    restarts: int = Field(0, ge=0, le=1000)
    """How often all processes are started again, and resume the run, after one of them has failed."""
    timeout: float = Field(300.0, gt=0, le=10**6)
    """Seconds that a process waits for another one's gradients before it gives up."""
