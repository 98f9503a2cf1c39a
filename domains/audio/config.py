"""Configuration of the audio domain; this module does not import torch.

The defaults are the preset "quick" with the training of AdamW. Where Muon was measured, the preset has it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from polydiff.backbones.config import UNetConfig
from polydiff.contract.sections.base import NoiseLevels, Numbers, Section
from polydiff.contract.sections.data import CaptionConfig, DataConfig
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import EncodeConfig, LossConfig, OptimConfig, TrainConfig

FRAME, LONG_FRAME = 0.064, 0.256
"""Lengths of the frames of the two spectral branches in seconds."""
LONGEST_FRAME = 4096
"""Most samples of such a frame: its kernels grow with the square."""


class MelConfig(Section):
    """Mel spectrogram that a vocoder is conditioned on. The defaults of null entries depend on the sample rate."""

    bands: int | None = Field(None, ge=1, le=512)
    """Number of filters; null: 40 below 16 kHz, 80 below 32 kHz, 128 above."""
    hop: int | None = Field(None, ge=1, le=32768)
    """Samples between frames; null: the power of two nearest to 11.6 ms."""
    n_fft: int | None = Field(None, ge=2, le=32768)
    """Size of the Fourier transform in samples; null: four hops."""
    window: int | None = Field(None, ge=2, le=32768)
    """Length of the window in samples; null: n_fft."""
    low: float = Field(0.0, ge=0, le=500_000)
    """Lowest frequency of the filters in Hz."""
    high: float | None = Field(None, gt=0, le=500_000)
    """Highest frequency of the filters in Hz; null: half the sample rate."""
    power: float = Field(1.0, gt=0, le=4)
    """Exponent of the magnitudes before the filters sum them."""
    floor: float = Field(1e-5, ge=1e-30, le=1)
    """Lower bound of the sums before the logarithm."""
    scale: Literal["slaney", "htk"] = "slaney"
    """Frequency scale of the filters; slaney also divides each filter by its width."""

    def resolved(self, sample_rate: int) -> MelConfig:
        """Return the section with the defaults for a sample rate in Hz in place of null.

        Raises:
            ValueError: The sizes or frequencies are inconsistent.
        """
        hop = self.hop or 2 ** round(math.log2(0.0116 * sample_rate))
        n_fft = self.n_fft or 4 * hop
        window, high = self.window or n_fft, self.high or sample_rate / 2
        bands = self.bands or (40 if sample_rate < 16000 else 80 if sample_rate < 32000 else 128)
        if not hop <= window <= n_fft:
            raise ValueError(
                f"data.mel has hop={hop}, window={window} and n_fft={n_fft}. The hop must be at most the window, and "
                "the window at most n_fft."
            )
        if bands > n_fft // 2:
            raise ValueError(
                f"data.mel has bands={bands} and n_fft={n_fft}. A Fourier transform of this size has {n_fft // 2} "
                "frequencies, and each band needs at least one. Lower data.mel.bands or raise data.mel.n_fft."
            )
        if self.low >= high:
            raise ValueError(f"data.mel.low={self.low:g} must be below the highest frequency, {high:g} Hz.")
        return self.model_copy(update={"hop": hop, "n_fft": n_fft, "window": window, "high": high, "bands": bands})


class AudioData(DataConfig):
    """Audio data: the synthesised plucks, notes of instruments, or the user's own files."""

    before: ClassVar[Mapping[str, Any]] = {"rules": 1}
    embedded: ClassVar[str] = "plucks"
    files: ClassVar[str] = "folder"
    selects: ClassVar[bool] = True
    incidental: ClassVar[Collection[str]] = ("length", "silence", "encoding", "low_rate", "noise", "speech", "mel")

    name: Literal["plucks", "instruments", "folder"] = "plucks"
    """plucks: synthesised plucked strings. instruments: notes of 77 sampled instruments, played by FluidSynth. folder:
    the sounds of `path`, a folder, a .jsonl, .csv or .tsv table, a .tar archive or a .npy array; setting `path` implies
    it."""
    sample_rate: int = Field(8000, ge=1000, le=1_000_000)
    """Sample rate in Hz. Files of a higher rate are resampled; a .npy array is assumed to have this rate."""
    length: int = Field(4096, ge=256, le=2**26)
    """Length of a clip in samples."""
    channels: Literal[1, 2] = 1
    """1 mono, 2 stereo; a mono file fills both channels."""
    classes: int = Field(24, ge=1, le=28)
    """plucks: number of notes, one per semitone from C3."""
    n_train: int = Field(100_000, ge=1, le=10**9)
    """plucks: number of training examples, synthesised on demand."""
    n_test: int = Field(2000, ge=1, le=10**9)
    """plucks: number of test examples."""
    seed: int = Field(0, ge=0, lt=2**63)
    """plucks: random seed of the data set, independent of the run's seed."""
    labels: Literal["auto", "folders", "none"] = "auto"
    """folder: whether the folders in `path` are classes; auto: if there are two or more and no sound beside them."""
    only: tuple[str, ...] = ()
    """folder: the classes to use, such as zero,one; empty: all; sc09: the ten digits of Speech Commands."""
    conditions: tuple[str, ...] = ()
    """folder: columns that become conditions, such as speaker,tempo. They come from a table, clip.json beside clip.wav,
    or a .tar. Text becomes classes, numbers real values, .npy files embeddings; digit:class sets a type explicitly, and
    title:text makes captions."""
    text: CaptionConfig = CaptionConfig()
    silence: float | None = Field(None, ge=-200, lt=0)
    """folder: level in dB of full scale below which a training crop is drawn again, up to ten times; null: never."""
    mix: Literal["refuse", "average", "left"] = "refuse"
    """folder: how a file of more channels than `channels` becomes mono; refuse: an error."""
    upsample: bool = False
    """folder: whether files of a lower sample rate are resampled to `sample_rate`; false: an error."""
    test_share: float = Field(0.1, gt=0, lt=1)
    """folder: share of the files in the held-out split, chosen by a hash of the file name, unless the data state it."""
    rules: Literal[1, 2] = 2
    """folder: rules by which folders are read and split; 1: those of runs that were saved without this key."""
    encoding: Literal["pcm16", "float", "flac", "ogg"] = "pcm16"
    """Encoding of saved files: WAV of 16 bits, WAV of floating-point numbers, FLAC of 16 bits, or Ogg Vorbis."""
    whiten: float = Field(0.5, ge=0, le=1)
    """Share of the spectrum's slope in dB that is removed from the states, 1: all. Reduces hiss in tonal sounds. Used
    by the tasks generate and vocode only."""
    low_rate: int | None = Field(None, ge=500, le=1_000_000)
    """task=upsample: sample rate of the input recordings in Hz; null: half of `sample_rate`."""
    noise: NoiseLevels | None = None
    """task=upsample: least and greatest standard deviation of the noise on the recordings in training, such as 0.02,1,
    where the sounds have the standard deviation 1; null: none."""
    speech: bool = False
    """Whether the sounds are speech; restoration tasks are then also evaluated by PESQ and STOI."""
    mel: MelConfig = MelConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mel.high or self.sample_rate / 2) > self.sample_rate / 2:
            raise ValueError("data.mel.high is above half of data.sample_rate; lower it")
        if self.given_rate >= self.sample_rate:
            raise ValueError("data.low_rate must be below data.sample_rate")
        if self.name == "instruments" and self.path is not None:
            raise ValueError("data.name=instruments has a folder of its own; leave out data.name to read data.path")
        return self

    @property
    def given_rate(self) -> int:
        """Sample rate in Hz of the input recordings of upsampling."""
        return self.low_rate or self.sample_rate // 2


class AudioConfig(Config):
    """Configuration of a run on waveforms."""

    domain: str = "audio"
    task: Literal["generate", "inpaint", "upsample", "vocode"] = "generate"
    """What the network is conditioned on besides the data's conditions: nothing (generate), the known part of a sound
    (inpaint), the recording at data.low_rate (upsample), or the mel spectrogram (vocode)."""
    schedule_options: Numbers = Field({"sigma_min": 0.001, "sigma_max": 80.0})
    data: AudioData = AudioData()
    backbone: BackboneConfig = UNetConfig(
        channels=128, mult=(1, 1, 1), strides=(4, 2), blocks=1, attention=(1, 2), patch=16, ends=9
    )
    loss: LossConfig = LossConfig(times="log_snr_normal", times_options={"mean": -0.5, "std": 2.8})
    encode: EncodeConfig = EncodeConfig(spectral=1.0)
    optim: OptimConfig = OptimConfig(lr=2e-3, warmup=50, decay="cosine")
    train: TrainConfig = TrainConfig(steps=3000, batch_size=16, ema=0.99, checkpoint_every=1000)
    sample: SampleConfig = SampleConfig(
        steps=20, sampler="dpmpp_2m_sde", options={"high": 1.0}, guidance=1.4, guidance_interval=(1.0, 1e4)
    )  # below noise level 1 guidance costs evaluations and changes little (docs/recipes.md)

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what suits `learn`, the data and the kind of network."""
        return {**self._optimizer(), **self._recipe()}

    def _recipe(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what suits `learn` and the network, but for the optimizer; codes have a quarter of the numbers."""
        if self.learn == "match":
            return {"learn": {"backbone.patch": 16, "backbone.kernel": 5, "train.steps": 1500}}
        if self.learn == "encode":
            return {
                "learn": {"backbone.factor": 32, "backbone.patch": 16, "train.steps": 2000},
                "data.name": {"backbone.codes": 8},
                "domain": {
                    "backbone.channels": 128,
                    "backbone.widest": 192,
                    "backbone.kernel": 5,
                    "backbone.blocks": 1,
                },
            }
        return self._spectral_branch()

    def _optimizer(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what replaces the preset's Muon where it was not measured: for all but plucks from a U-Net."""
        sounds = self.learn == "denoise" and self.codec is None and self.task == "generate"
        plucks = self.data.name == "plucks" and self.data.sample_rate == AudioData().sample_rate
        measured = sounds and plucks and isinstance(self.backbone, UNetConfig)
        return self.usual_training(measured) if self.preset == "quick" else {}

    def _spectral_branch(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the frames of the spectral branches of a U-Net.

        About 64 ms tell the partials of a low note apart; about 256 ms, within the clip, keep partials steady. Both
        have at most `LONGEST_FRAME` samples, so high sample rates have shorter frames, and from 48 kHz on one branch.
        """
        if not isinstance(self.backbone, UNetConfig) or self.codec is not None or self.target != "edm":
            return {}
        short, long = (2 ** round(math.log2(seconds * self.data.sample_rate)) for seconds in (FRAME, LONG_FRAME))
        short, long = min(short, LONGEST_FRAME), min(long, LONGEST_FRAME, 2 ** int(math.log2(self.data.length)))
        return {
            "data.sample_rate": {"backbone.spectral_window": short},
            "data.length": {
                "backbone.spectral_window": short,  # if it is set, there is no second branch
                "backbone.spectral_long_window": long if long > short else 0,
            },
        }

    @model_validator(mode="after")
    def _spectral_branch_has_its_target(self) -> Self:
        if isinstance(self.backbone, UNetConfig) and self.backbone.spectral_windows and self.target != "edm":
            name = "spectral_window" if self.backbone.spectral_window else "spectral_long_window"
            raise ValueError(
                f"backbone.{name}={getattr(self.backbone, name)} is derived for target=edm, not for "
                f"target={self.target}; leave it 0"
            )
        return self

    @model_validator(mode="after")
    def _noise_is_used(self) -> Self:
        if self.task != "upsample" and self.data.noise:
            raise ValueError(f"data.noise is noise on the recordings of task=upsample, not for task={self.task}")
        return self

    @model_validator(mode="after")
    def _mel_works(self) -> Self:
        if self.task == "vocode":
            mel = self.data.mel.resolved(self.data.sample_rate)
            if (mel.hop or 1) > self.data.length:
                raise ValueError(
                    f"data.mel.hop={mel.hop} is longer than a clip of data.length={self.data.length} samples; lower it"
                )
        return self

    @property
    def needs_input(self) -> bool:
        """Whether a run restores sounds from another form (`polydiff.contract.following.Fits`)."""
        return self.task in ("upsample", "vocode")

    @property
    def input_noise(self) -> tuple[float, float] | None:
        """Least and greatest level of the noise on recordings in training (`contract.following.Fits`)."""
        return self.data.noise

    def misfit(self, earlier: Config) -> str | None:
        """Return why a run cannot upsample the sounds of another (`polydiff.contract.following.Fits`)."""
        from polydiff.domains.audio.following import misfit

        return misfit(self, earlier)

    @property
    def whiten(self) -> float:
        """Share of the spectrum's slope that is removed from the states; 0 for the tasks inpaint and upsample."""
        return self.data.whiten if self.task in ("generate", "vocode") else 0.0
