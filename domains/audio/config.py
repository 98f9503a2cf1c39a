"""The settings of audio. Their own values are the preset "quick"; this module loads no torch."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from polydiff.backbones.config import UNetConfig
from polydiff.contract.sections import (
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    Numbers,
    OptimConfig,
    SampleConfig,
    Section,
    TrainConfig,
)


class MelConfig(Section):
    """The mel spectrogram that a vocoder is told; null: as suits the sample rate."""

    bands: int | None = Field(None, ge=1)
    """Number of filters; null: 40 below 16 kHz, 80 below 32 kHz, 128 above."""
    hop: int | None = Field(None, ge=1)
    """Samples that a frame stands for; null: the power of two nearest to 11.6 ms."""
    n_fft: int | None = Field(None, ge=2)
    """Samples of the transform; null: four hops."""
    window: int | None = Field(None, ge=2)
    """Samples of the window; null: those of the transform."""
    low: float = Field(0.0, ge=0)
    """Frequency in Hz at which the filters begin."""
    high: float | None = Field(None, gt=0)
    """Frequency in Hz at which they end; null: half the sample rate."""
    power: float = Field(1.0, gt=0)
    """Power of the magnitudes that a filter adds up."""
    floor: float = Field(1e-5, gt=0)
    """Least sum, of which the logarithm is taken."""
    scale: Literal["slaney", "htk"] = "slaney"
    """Of frequencies; slaney also divides each filter by its width."""


class AudioData(DataConfig):
    """Sounds."""

    embedded: ClassVar[str] = "plucks"
    files: ClassVar[str] = "folder"

    name: Literal["plucks", "folder"] = "plucks"
    """plucks: synthesised plucked strings. folder: what lies under `path`, a folder, a .jsonl or .csv table, a .tar or
    a .npy array; a path implies it."""
    sample_rate: int = Field(8000, ge=1000)
    """Samples a second; files of a higher rate are resampled, and the numbers of a .npy are taken to have it."""
    length: int = Field(4096, ge=256)
    """Samples of a clip."""
    channels: Literal[1, 2] = 1
    """1 mono, 2 stereo; a mono file fills both channels."""
    classes: int = Field(24, ge=1, le=28)
    """plucks: number of notes, in semitones from C3."""
    n_train: int = Field(100_000, ge=1)
    """plucks: number of training examples, made when asked for."""
    n_test: int = Field(2000, ge=1)
    """plucks: number of test examples."""
    seed: int = Field(0, ge=0)
    """plucks: of the data set, which stays the same whatever the run's seed."""
    labels: Literal["auto", "folders", "none"] = "auto"
    """folder: whether the folders in `path` are classes; auto: where there are two or more and no file beside them."""
    only: tuple[str, ...] = ()
    """folder: the classes used, such as zero,one; none given: all; sc09: the ten digits of Speech Commands."""
    conditions: tuple[str, ...] = ()
    """folder: the columns of a table, of clip.json beside clip.wav or of a .tar that become conditions, such as
    speaker,tempo: words are classes, numbers real, .npy files embeddings; a type can be said, as in digit:class."""
    silence: float | None = Field(None, lt=0)
    """folder: level in dB of full scale under which a training crop is drawn again, up to ten times; null: none is."""
    mix: Literal["refuse", "average", "left"] = "refuse"
    """folder: how a file of more channels than `channels` becomes mono."""
    upsample: bool = False
    """folder: whether files of a lower sample rate are taken."""
    test_share: float = Field(0.1, gt=0, lt=1)
    """folder: share of the files held out, by a hash of the file's name."""
    encoding: Literal["pcm16", "float", "flac", "ogg"] = "pcm16"
    """Of the files that are saved: WAV of 16 bits or of floating numbers, FLAC of 16 bits, or Ogg Vorbis."""
    whiten: float = Field(0.5, ge=0, le=1)
    """How far the spectrum of states is evened out, 1: wholly; less hiss in tonal sounds. For the tasks generate and
    vocode; the others work on sounds as they are."""
    low_rate: int | None = Field(None, ge=500)
    """task=upsample: samples a second of the recordings that are given; null: half of `sample_rate`."""
    speech: bool = False
    """Whether the sounds are speech, so that tasks with a truth are judged by PESQ and STOI too."""
    mel: MelConfig = MelConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mel.high or self.sample_rate / 2) > self.sample_rate / 2:
            raise ValueError("data.mel.high is above half of data.sample_rate")
        if self.given_rate >= self.sample_rate:
            raise ValueError("data.low_rate must be below data.sample_rate")
        return self

    @property
    def given_rate(self) -> int:
        """Samples a second of the recordings that upsampling is given."""
        return self.low_rate or self.sample_rate // 2


class AudioConfig(Config):
    """Waveforms."""

    domain: str = "audio"
    task: Literal["generate", "inpaint", "upsample", "vocode"] = "generate"
    """What the network is told beside the conditions: nothing, the known part of each sound (inpaint), the sound at
    data.low_rate (upsample), or its mel spectrogram (vocode)."""
    schedule_options: Numbers = Field({"sigma_min": 0.001, "sigma_max": 80.0})
    data: AudioData = AudioData()
    backbone: BackboneConfig = UNetConfig(
        channels=128, mult=(1, 1, 1), strides=(4, 2), blocks=1, attention=(1, 2), patch=16, ends=9
    )
    loss: LossConfig = LossConfig(times="log_snr_normal", times_options={"mean": 1.8, "std": 2.6})
    optim: OptimConfig = OptimConfig(lr=2e-3, warmup=50, decay="cosine")
    train: TrainConfig = TrainConfig(steps=4000, batch_size=16, ema=0.99, checkpoint_every=1000)
    sample: SampleConfig = SampleConfig(steps=24, sampler="dpmpp_2m_sde", guidance=1.25)

    @property
    def whiten(self) -> float:
        """How far the spectrum of states is evened out: of sounds that are known in part, not at all."""
        return self.data.whiten if self.task in ("generate", "vocode") else 0.0
