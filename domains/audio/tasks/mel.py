r"""Mel spectrograms as a vocoder's condition, defined by parameters that the model and each file store.

$$ m_{bj} = \log \max\Big(\sum_f w_{bf} |S_{fj}|^p,\ \text{floor}\Big), $$

natural logarithm. Frame j is centred on the samples j hop .. (j + 1) hop - 1, so a clip of T samples has ceil(T / hop)
frames. The clip is reflected at its ends. This is the spectrogram of HiFi-GAN, whose parameters are the defaults (Kong
et al., 2020, https://arxiv.org/abs/2010.05646).

Symbols: S short-time Fourier transform with a Hann window, w filters, p power, b band, f frequency, j frame; B clips,
C channels, T samples.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.config import AudioData
from polydiff.support.errors import UserError, amount, check_file, one_line
from polydiff.support.files import write_atomic

SUFFIX = ".mel.npz"
"""Suffix of mel spectrogram files."""


@dataclass(frozen=True, kw_only=True)
class Mel:
    """A definition of mel spectrograms.

    Arguments:
        sample_rate: In Hz.
        n_fft: Size of the Fourier transform in samples.
        window: Length of the window in samples.
        hop: Samples between frames.
        bands: Number of filters.
        low: Lowest frequency of the filters in Hz.
        high: Highest frequency of the filters in Hz.
        power: p, the exponent of the magnitudes.
        floor: Lower bound of the sums before the logarithm.
        scale: Frequency scale, "slaney" or "htk"; "slaney" also divides each filter by its width.
    """

    sample_rate: int
    n_fft: int
    window: int
    hop: int
    bands: int
    low: float
    high: float
    power: float
    floor: float
    scale: str

    @classmethod
    def of(cls, data: AudioData) -> Mel:
        """Return the definition of a configuration.

        Raises:
            UserError: The sizes or frequencies are inconsistent.
        """
        try:
            mel = data.mel.resolved(data.sample_rate)
        except ValueError as error:
            raise UserError(str(error)) from error
        return cls(sample_rate=data.sample_rate, **mel.model_dump())

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log-mel spectrograms of sounds (B, C, T), with channels concatenated, (B, C bands, frames)."""
        clip = x.shape[-1]
        length = max(clip, self.n_fft)
        x = functional.pad(x.float(), (0, -(-length // self.hop) * self.hop - clip))
        before = (self.n_fft - self.hop) // 2
        padded = functional.pad(x, (before, self.n_fft - self.hop - before), mode="reflect")
        return self.log(transform(self)(padded))[..., : self.frames(clip)]

    def log(self, power: Tensor) -> Tensor:
        """Return the logarithm of sums (B, C, bands, frames), with channels concatenated, (B, C bands, frames)."""
        return power.clamp(min=self.floor).log().flatten(1, 2)

    def frames(self, length: int) -> int:
        """Return the number of frames of a clip of `length` samples."""
        return -(-length // self.hop)


@lru_cache(maxsize=8)
def transform(mel: Mel) -> Any:
    """Return torchaudio's mel spectrogram for a definition; the first frame starts at the first sample."""
    return optional.torchaudio("transforms").MelSpectrogram(
        mel.sample_rate,
        mel.n_fft,
        mel.window,
        mel.hop,
        f_min=mel.low,
        f_max=mel.high,
        n_mels=mel.bands,
        power=mel.power,
        center=False,
        norm="slaney" if mel.scale == "slaney" else None,
        mel_scale=mel.scale,
    )


def griffin_lim(mel: Mel, spectrogram: Tensor, length: int, iterations: int = 32) -> Tensor:
    """Return sounds of mel spectrograms by the method of Griffin and Lim (1984), which needs no training.

    Magnitudes are the least-squares solution for the filters, clamped at 0. Phases start at random, the same at each
    call. They are made consistent with the overlap of the windows, with momentum (Perraudin et al., 2013).

    Arguments:
        mel: The definition.
        spectrogram: Shape (B, C bands, frames).
        length: Samples of a sound.
        iterations: Number of iterations of the phases.

    Returns:
        Shape (B, C, length).
    """
    sums = spectrogram.unflatten(1, (-1, mel.bands)).exp()
    sums = torch.where(sums > mel.floor * 1.001, sums, 0)
    filters = transform(mel).mel_scale.fb.to(sums)
    magnitudes = (torch.linalg.pinv(filters.mT.double()).to(sums) @ sums).clamp(min=0)
    # the inverse starts half a frame late, and its first step needs more samples than half a transform
    after = max(1, mel.n_fft // 2 // mel.hop + 1 - magnitudes.shape[-1])
    ends = magnitudes[..., :1], magnitudes[..., -1:].expand(*magnitudes.shape[:-1], after)
    magnitudes = torch.cat([ends[0], magnitudes, ends[1]], -1)
    window = torch.hann_window(mel.window).to(sums)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sound: Tensor = optional.torchaudio("functional").griffinlim(
            magnitudes, window, mel.n_fft, mel.hop, mel.window, mel.power, iterations, 0.99, None, True
        )
    return sound[..., mel.hop // 2 :][..., :length]


def write_mel(path: Path, mel: Mel, spectrogram: Tensor, length: int) -> None:
    """Write a mel spectrogram with its definition.

    Arguments:
        path: The file, whose name ends in .mel.npz.
        mel: The definition.
        spectrogram: Shape (C bands, frames).
        length: Number of samples of its sound.
    """
    buffer = io.BytesIO()
    np.savez(buffer, mel=spectrogram.numpy(), length=np.int64(length), definition=np.str_(json.dumps(asdict(mel))))
    write_atomic(path, buffer.getvalue())


def read_mel(path: Path, mel: Mel, channels: int = 1) -> tuple[Tensor, int]:
    """Return the mel spectrogram (C bands, frames) in a file, and the number of samples of its sound.

    Raises:
        UserError: The file is missing, damaged, or has another definition or shape.
    """
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as held:
            values, length, definition = held["mel"], int(held["length"]), dict(json.loads(str(held["definition"])))
    except Exception as error:
        raise UserError(
            f"{path} is not a mel spectrogram file of polydiff ({one_line(error)}). "
            "polydiff.domains.audio.tasks.mel.write_mel writes one."
        ) from error
    expected = asdict(mel)
    different = [name for name in expected if definition.get(name) != expected[name]]
    if different:
        differences = ", ".join(f"{name} is {definition.get(name)}, not {expected[name]}" for name in different)
        raise UserError(
            f"{path} contains a mel spectrogram of another definition than the model was trained on: {differences}."
        )
    shape = (channels * mel.bands, mel.frames(length))
    if length < 1 or values.shape != shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UserError(
            f"{path} must contain finite numbers of shape {shape} for {length} samples of "
            f"{amount(channels, 'channel')}, not {values.dtype} {values.shape}."
        )
    return torch.from_numpy(values.astype(np.float32)), length


@dataclass(frozen=True)
class Scale:
    """Standardisation of mel spectrograms for a network.

    Arguments:
        mean: Mean of each band, over all channels.
        std: Standard deviation from these means, over all bands.
    """

    mean: tuple[float, ...]
    std: float

    @classmethod
    def measure(cls, spectrograms: Tensor, bands: int) -> Scale:
        """Return the scale measured on spectrograms (N, C bands, frames).

        Raises:
            UserError: The spectrograms are constant or not finite.
        """
        values = spectrograms.unflatten(1, (-1, bands)).double()
        mean = values.mean((0, 1, 3))
        std = (values - mean[:, None]).square().mean().sqrt().item()
        if not 0 < std < math.inf:
            raise UserError(f"The mel spectrograms of the training data vary by {std}: the data is silent or broken.")
        return cls(tuple(mean.tolist()), std)

    def encode(self, spectrogram: Tensor) -> Tensor:
        """Return standardised spectrograms (B, C bands, frames)."""
        return (spectrogram - self.column(spectrogram)) / self.std

    def decode(self, standardised: Tensor) -> Tensor:
        """Return the spectrograms (B, C bands, frames) of standardised ones."""
        return standardised * self.std + self.column(standardised)

    def column(self, spectrogram: Tensor) -> Tensor:
        """Return the mean of each row of a spectrogram, shape (C bands, 1)."""
        repeats = spectrogram.shape[-2] // len(self.mean)
        return torch.tensor(self.mean, dtype=torch.float32).to(spectrogram.device).repeat(repeats)[:, None]
