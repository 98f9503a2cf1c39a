"""Sections of a run's configuration, as pydantic models that reject unknown keys.

Each domain derives its own `Config`. This module and the domains' configurations import no torch, so that help and
error messages appear at once. The docstring of a key is its text in `polydiff train --help`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

Decay = Annotated[float, Field(ge=0, lt=1)]
Numbers = dict[str, StrictBool | StrictInt | StrictFloat]
"""Options by name. Types are kept: 16 stays a whole number, true is not a number, the text "16" is an error."""


def ascending(levels: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the greatest level; ValueError if they are the wrong way round."""
    if levels[0] > levels[1]:
        raise ValueError(f"the least level, {levels[0]:g}, is above the greatest, {levels[1]:g}")
    return levels


Level = Annotated[float, Field(gt=0, le=1000)]
NoiseLevels = Annotated[tuple[Level, Level], AfterValidator(ascending)]
"""Least and greatest standard deviation of noise, in units of the states."""

OPTIONS_OF = {
    "schedule": "schedule_options",
    "loss.objective": "loss.objective_options",
    "loss.norm": "loss.norm_options",
    "loss.weighting": "loss.weighting_options",
    "loss.times": "loss.times_options",
    "sample.sampler": "sample.options",
    "sample.spacing": "sample.spacing_options",
    "sample.guidance_method": "sample.guidance_options",
}
"""Key of a name -> key of its options. An override of the name resets these options."""


class Section(BaseModel):
    """A part of a configuration: immutable, typed, without unknown keys.

    Attributes:
        before: Key that some saved configurations lack -> the value that keeps the behaviour from before the key
            existed, where it differs from the default.
    """

    before: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def idle(cls, values: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of a saved section, such as {"text"}, that had no effect, and are an error in a new run.

        A saved configuration with such keys is read as if they had their defaults.

        Arguments:
            values: The saved value of each key; None if it is not saved.
        """
        return ()

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def absolute(path: Path | None) -> Path | None:
    """Return an absolute path, because a run can be resumed from any directory."""
    return None if path is None else path.expanduser().absolute()


@dataclass(frozen=True)
class NamesRun:
    """Marks the type of a key that names a run, so that `polydiff.run.parents` finds the key in any section."""


RunPath = Annotated[Path, AfterValidator(absolute), NamesRun()]
"""A run's folder or that of one of its checkpoints; made absolute."""


class DataConfig(Section):
    """Where examples come from.

    A domain that has an embedded data set and also reads files sets both names below: a path then selects the files.

    Attributes:
        embedded: Value of `name` for the embedded data set; "": none.
        files: Value of `name` for the user's files; "": none.
        incidental: Keys that change neither the statistics of examples nor their conditions in a way that matters to
            another run: their size, random changes of training examples, what only tasks read.
    """

    embedded: ClassVar[str] = ""
    files: ClassVar[str] = ""
    incidental: ClassVar[Collection[str]] = ()

    name: str = "data"
    """Data set: the domain's embedded one, or the kind of files to read."""
    path: Path | None = None
    """Folder or file of your own data; None: the embedded data set."""

    _absolute = field_validator("path")(absolute)

    @model_validator(mode="before")
    @classmethod
    def _path_means_files(cls, values: Any) -> Any:
        given = (
            isinstance(values, dict) and values.get("path") is not None and values.get("name") in (None, cls.embedded)
        )
        return {**values, "name": cls.files} if given and cls.files else values

    @model_validator(mode="after")
    def _files_need_a_path(self) -> Self:
        if self.files and self.name == self.files and self.path is None:
            raise ValueError(f"data.name={self.files} needs data.path, the folder or file of your data")
        return self


class CaptionConfig(Section):
    """How captions become tokens."""

    tokens: Literal["words", "bytes", "bpe"] = "words"
    """words: the words of the training captions. bytes: bytes in UTF-8. bpe: frequent sequences of bytes. Bytes and bpe
    can write words that training lacks, and all scripts."""
    vocabulary: int = Field(4000, ge=2, le=10**6)
    """Largest number of different tokens; rarer words are read as unknown. Bytes have 256."""
    longest: int = Field(64, ge=1, le=4096)
    """Largest number of tokens of a caption; a longer one in the data is an error."""
    encoder: Path | None = None
    """Folder of a pretrained text encoder of Hugging Face's transformers, which reads the captions in place of one that
    is trained with the network; `tokens` and `vocabulary` are then unused."""

    _absolute = field_validator("encoder")(absolute)


class TextConfig(Section):
    """The transformer that reads captions. It is trained together with the network."""

    before: ClassVar[Mapping[str, Any]] = {"kernel": 0}

    width: int = Field(64, ge=1)
    """Width of its activations."""
    layers: int = Field(2, ge=0)
    """Layers; 0: each word is read by itself."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    kernel: int = Field(9, ge=0, le=255)
    """Number of neighbouring tokens that the perceptron of each layer reads at once, odd; 0: each token by itself."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        if self.kernel and self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} is even; take an odd one, or 0 for none")
        return self


class BackboneConfig(Section):
    """The network."""

    name: str
    """Name of the backbone, the network's architecture."""
    step_size: bool = False
    """Whether the network is conditioned on the sampler's step size; the objective shortcut requires it."""
    self_condition: bool = False
    """Whether the network is conditioned on its previous estimate; every second training step trains for it."""
    text: TextConfig = TextConfig()
    """How captions are read; unused without a condition that is text."""


class OptimConfig(Section):
    """How weights are updated."""

    name: str = "adamw"
    """Optimizer: adamw, muon or sgd; muon often needs fewer steps."""
    lr: float = Field(2e-4, gt=0, le=100)
    """Learning rate after the warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay rates of AdamW's running means of the gradient and of its square."""
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
    """Training objective: denoising, ect, shortcut or another of docs/few_step.md and docs/likelihood.md."""
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
    like_sizes: int = Field(0, ge=0, le=10**6)
    """Number of batches within which examples are sorted by size, to reduce padding; 0: no sorting."""
    checkpoint_every: int = Field(1_000, ge=1, le=10**9)
    """Steps between checkpoints."""
    keep: int = Field(2, ge=1, le=10**6)
    """Number of checkpoints to keep; older ones are deleted after a newer one is complete."""
    log_every: int = Field(20, ge=1, le=10**9)
    """Steps between lines of metrics.jsonl."""
    sample_every: int = Field(0, ge=0, le=10**9)
    """Steps between sets of samples; 0: six sets in a run."""
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


class SampleConfig(Section):
    """How samples are drawn; options of the command line override these keys."""

    steps: int = Field(40, ge=1, le=10**5)
    """Number of sampling steps."""
    sampler: str = "auto"
    """Sampler: auto, ddpm, ddim, heun, dpmpp_2m, unipc, er_sde or another of docs/samplers.md."""
    spacing: str | None = None
    """Spacing of noise levels: asinh, karras, log_snr, time, trailing, ...; null: the sampler's own."""
    spacing_options: dict[str, Any] = {}
    """Options of the spacing, such as {rho: 5}, or {levels: [...]} for spacing=own."""
    guidance: float = Field(1.0, ge=0, le=10_000)
    """Guidance scale; 1: no guidance."""
    guidance_method: str = "cfg"
    """How guidance combines its two estimates: cfg, cfg_pp, apg or cfg_zero."""
    guidance_options: dict[str, Any] = {}
    """Options of the guidance method, such as {rescale: 0.7}."""
    guidance_interval: tuple[float, float] | None = None
    """Lowest and highest noise level at which guidance is applied, such as [0.3, 5]; None: all."""
    guide: RunPath | None = None
    """Run or checkpoint of a worse model to guide away from (autoguidance); None: this model, unconditional."""
    negative: dict[str, Any] = {}
    """Conditions to guide away from, such as {label: 3}; {}: the null condition."""
    options: dict[str, Any] = {}
    """Options of the sampler, such as {eta: 0.5}."""
    batch_size: Literal["auto"] | int = "auto"
    """Samples in a batch; auto: the most efficient number for the device. It changes samples by rounding only."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of the network; bf16 can be faster, but a sample then depends slightly on its batch."""
    compile: bool = False
    """Whether to compile the network; it takes a minute at the start and speeds up drawing many samples."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _size(cls, size: Any) -> Any:
        if size != "auto" and not (str(size).isdecimal() and len(str(size)) < 10 and 1 <= int(str(size)) <= 10**6):
            raise ValueError("should be auto or a whole number of 1 to 1000000")
        return size

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _two(cls, interval: Any) -> Any:
        if interval is not None and not (isinstance(interval, Sequence) and len(interval) == 2):
            raise ValueError("should be two noise levels, the lower first, such as 0.3,5")
        return interval


class Config(Section):
    """The configuration of a run. Each domain derives its own, with its data, backbone and defaults."""

    domain: str
    """Name of the domain."""
    preset: str = "quick"
    """Preset that the defaults come from."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed of the run."""
    device: str = "auto"
    """Device: cpu, cuda, cuda:1, ...; auto: a GPU if there is one."""
    learn: str = "denoise"
    """What the run learns: denoise, to generate; encode, to map examples to few numbers and back; match, to compare
    examples with texts."""
    codec: RunPath | None = None
    """Run in whose codes the diffusion works: with learn=encode, an autoencoder; with learn=match, a pair, whose
    embeddings of examples are then what samples are. null: in the states of the domain."""
    tell: dict[str, RunPath] = {}
    """Name of a condition -> run with learn=match: each example is generated from its embedding by this run, as in
    tell.embedding=runs/pair."""
    tell_noise: float = Field(0.1, ge=0, le=10)
    """Greatest standard deviation of the noise that embeddings of `tell` get in training, as a share of theirs."""
    process: str = "gaussian"
    """Kind of diffusion: gaussian."""
    schedule: str = "edm"
    """Noise schedule: edm, flow, cosine, vp, linear, learned or another of docs/schedules.md."""
    schedule_options: Numbers = {}
    """Options of the schedule, such as {sigma_max: 80, shift: 2}."""
    target: str = "edm"
    """What the network predicts: eps, x0, v, flow, edm or score."""
    data: DataConfig
    backbone: BackboneConfig
    loss: LossConfig = LossConfig()
    encode: EncodeConfig = EncodeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return defaults that follow from a key, such as the network from the size of images.

        They replace defaults and presets of a new run, never what the user set.

        Returns:
            Key -> the dotted keys that follow from it and their values; a configuration that has them returns the same.
        """
        return {}
