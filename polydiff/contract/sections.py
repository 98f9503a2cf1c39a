"""What a run is made of: one pydantic model a domain, and nothing that a key can misspell silently.

This module and every domain's config load no torch, so that help and error messages come at once.
"""

from __future__ import annotations

from collections.abc import Sequence
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
"""Options by name, each of the type that was given: 16 stays whole, true is no number, the text "16" is an error."""

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
"""Key of a name -> key of its options. A layer that changes the name leaves the options of the old one behind."""


class Section(BaseModel):
    """A part of a configuration: immutable, typed, closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def absolute(path: Path | None) -> Path | None:
    """Return a path that means the same from any folder, since a run is gone on with from any."""
    return None if path is None else path.expanduser().absolute()


@dataclass(frozen=True)
class NamesRun:
    """Marks the type of a key that names a run, so that `polydiff.run.parents` finds the key in any section."""


RunPath = Annotated[Path, AfterValidator(absolute), NamesRun()]
"""A run's folder or that of one of its checkpoints; made absolute."""


class DataConfig(Section):
    """Where examples come from.

    A domain with data of its own and files of the user's says their names: a path means the files.
    """

    embedded: ClassVar[str] = ""
    files: ClassVar[str] = ""

    name: str
    """Data set: the domain's embedded one, or a kind of file."""
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
            raise ValueError(f"data.name={self.files} needs data.path, where your data are")
        return self


class BackboneConfig(Section):
    """The network."""

    name: str
    """Which backbone; `polydiff.backbones` lists them."""
    step_size: bool = False
    """Whether the network is told how far a sampler steps, which the objective shortcut needs."""
    self_condition: bool = False
    """Whether the network is told its estimate of the step before, as every second step of training teaches it."""


class OptimConfig(Section):
    """How weights are updated."""

    name: str = "adamw"
    """adamw, muon or sgd; muon often needs fewer steps."""
    lr: float = Field(2e-4, gt=0)
    """Learning rate after the warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of AdamW's running means of the gradient and its square."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    warmup: int = Field(100, ge=0)
    """Steps of linear warm-up."""
    decay: Literal["constant", "cosine", "linear"] = "constant"
    """Shape of the learning rate after the warm-up, to the last step."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""


class LossConfig(Section):
    """What is minimised: norm, weighting and distribution of noise levels."""

    objective: str = "denoising"
    """denoising, ect, shortcut or another of docs/few_step.md and docs/likelihood.md."""
    objective_options: Numbers = {}
    """Further numbers of the objective, such as {q: 2}."""
    norm: str = "l2"
    """l2, l1 or another of docs/losses.md."""
    weighting: str = "simple"
    """simple, edm, min_snr, uncertainty, elbo or another of docs/losses.md."""
    times: str = "uniform"
    """uniform, adaptive, log_normal, logit_normal or another of docs/losses.md."""
    norm_options: Numbers = {}
    """Further numbers of the norm, such as {delta: 0.1}."""
    weighting_options: Numbers = {}
    """Further numbers of the weighting, such as {gamma: 5}."""
    times_options: Numbers = {}
    """Further numbers of the distribution, such as {mean: -1.2, std: 1.2}."""
    components: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Weights of parts of a state, such as {features: 0.25} of molecules; 1 for those that are not named."""


class TrainConfig(Section):
    """The training loop."""

    steps: int = Field(10_000, ge=1)
    """Number of optimizer steps."""
    batch_size: int = Field(64, ge=1)
    """Examples a step."""
    like_sizes: int = Field(0, ge=0)
    """Batches among which examples are sorted by size, so that little is padded in a batch; 0: none."""
    checkpoint_every: int = Field(1_000, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(2, ge=1)
    """Checkpoints kept; older ones are deleted once a newer one is whole."""
    log_every: int = Field(20, ge=1)
    """Steps between lines of metrics.jsonl."""
    sample_every: int = Field(0, ge=0)
    """Steps between sets of samples; 0: six times in a run."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights, which warms up as (1 + step) / (10 + step)."""
    condition_dropout: float = Field(0.1, ge=0, le=1)
    """Share of examples whose conditions are withheld, which classifier-free guidance needs."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Precision of the network; auto: bf16 where the device is fast at it."""
    workers: Literal["auto"] | int = "auto"
    """Threads that prepare batches ahead, which change no bit; auto: one, or up to four for a GPU; 0: none."""
    compile: bool = False
    """Whether the network is compiled (torch.compile), which takes a minute at first and pays in long runs."""
    ema_snapshots: int = Field(0, ge=0)
    """Times that power-function averages are put by, so that `--ema` makes any other; 0: never. They take memory."""
    init: RunPath | None = None
    """Run or checkpoint whose averaged weights and statistics to begin with; None: from scratch."""

    @field_validator("workers", mode="before")
    @classmethod
    def _number(cls, workers: Any) -> Any:
        if workers != "auto" and not (str(workers).isdecimal() and int(str(workers)) <= 256):
            raise ValueError("should be auto or a whole number of 0 to 256")
        return workers


class SampleConfig(Section):
    """How samples are drawn unless the command line says otherwise."""

    steps: int = Field(40, ge=1)
    """Sampling steps."""
    sampler: str = "auto"
    """auto, ddpm, ddim, heun, dpmpp_2m, unipc, er_sde or another of docs/samplers.md."""
    spacing: str | None = None
    """Placement of noise levels: asinh, karras, log_snr, time, trailing, ...; null: the sampler's own."""
    spacing_options: dict[str, Any] = {}
    """Further numbers of the placement, such as {rho: 5}, or {levels: [...]} of the spacing own."""
    guidance: float = Field(1.0, ge=0)
    """Scale of guidance; 1: none."""
    guidance_method: str = "cfg"
    """How the two estimates of guidance become one: cfg, cfg_pp, apg or cfg_zero."""
    guidance_options: dict[str, Any] = {}
    """Further arguments of the method, such as {rescale: 0.7}."""
    guidance_interval: tuple[float, float] | None = None
    """Lowest and highest noise level with guidance, such as [0.3, 5]; None: all."""
    guide: RunPath | None = None
    """Run or checkpoint of a worse model to guide away from (autoguidance); None: this one without its condition."""
    negative: dict[str, Any] = {}
    """Conditions to guide away from, such as {label: 3}; {}: none given."""
    options: dict[str, Any] = {}
    """Further arguments of the sampler, such as {eta: 0.5}."""
    batch_size: Literal["auto"] | int = "auto"
    """Samples computed at a time; auto: as many as the device is best at. It changes samples by rounding alone."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of the network; in bf16, which can be faster, a sample depends a little on its batch."""
    compile: bool = False
    """Whether the network is compiled, which takes a minute at first and pays where many are drawn."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _size(cls, size: Any) -> Any:
        if size != "auto" and not (str(size).isdecimal() and int(str(size)) >= 1):
            raise ValueError("should be auto or a whole number of at least 1")
        return size

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _two(cls, interval: Any) -> Any:
        if interval is not None and not (isinstance(interval, Sequence) and len(interval) == 2):
            raise ValueError("should be two noise levels, the lower first, such as 0.3,5")
        return interval


class Config(Section):
    """A whole run. A domain derives its own, with its data, its backbone and its defaults."""

    domain: str
    """Which domain."""
    preset: str = "quick"
    """Which preset the defaults came from."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of everything random."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU where there is one."""
    process: str = "gaussian"
    """Kind of diffusion: gaussian."""
    schedule: str = "edm"
    """Noise schedule: edm, flow, cosine, vp, linear, learned or another of docs/schedules.md."""
    schedule_options: Numbers = {}
    """Further numbers of the schedule, such as {sigma_max: 80, shift: 2}."""
    target: str = "edm"
    """What the network predicts: eps, x0, v, flow, edm or score."""
    data: DataConfig
    backbone: BackboneConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()
