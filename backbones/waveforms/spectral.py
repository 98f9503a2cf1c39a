r"""The spectral branch of networks on waveforms: a Wiener filter whose spectrum a network predicts.

A waveform x_0 is estimated from x = x_0 + s epsilon. In patches of samples, a network sees only as fine a spectrum as
its first convolution is long, so it takes noise between the harmonics of a tone for signal, and leaves it as hiss. This
branch works on frames of n samples, with a sine window and a hop of n / 4. A small network of convolutions and
attention along the frames predicts the power S of the clean sound in each cell of the short-time spectrum of x. With S,
the linear estimate of least squared error has the gain S / (S + s^2) (Wiener, 1949, ISBN 978-0-262-73005-1). With
target=edm, F = (x_0 - c_skip x) / c_out, what it adds to the output F is

$$ \mathrm{ISTFT}\left( \frac{s\, (S - 1)}{S + s^2}\, \mathrm{STFT}\left( \frac{x}{\sqrt{1 + s^2}} \right) \right). $$

S starts at 1, where this is 0. The rest of the network learns what the linear estimate lacks. The outputs of two
branches may be added: short frames follow attacks, long ones resolve whether a partial keeps its phase. Networks on
waveform and spectrum side by side are known from the separation of sources (Défossez, 2021,
https://arxiv.org/abs/2111.03600).

Symbols: B batch, C channels of the data, T samples, n samples of a frame, K = n / 2 + 1 frequencies, M frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet_blocks import Stage
from polydiff.backbones.unet_layers import Plane, group_norm, output_layer, zero

OVERLAP = 4
"""Frames that contain a sample."""
LEAST, HIGHEST = -30.0, 20.0
"""Bounds of log S; the power of the data is 1 in the mean."""
QUIET, FAINT = 1e-8, 0.1
"""Added to powers before their logarithm: relative to the state, and relative to its noise."""


class Spectral(nn.Module):
    """The spectral branch.

    Attributes:
        analysis: Kernels of the short-time Fourier transform, (2 K, 1, n).
        synthesis: Kernels of its inverse, (2 K, 1, n).

    Arguments:
        config: Its dimensions, and the options of its blocks.
        window: n.
        channels: C.
        embedding: Width of the embedding of the noise level and the conditions.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, config: UNetConfig, window: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.size, self.hop = window, window // OVERLAP
        analysis, synthesis = bases(self.size)
        self.register_buffer("analysis", analysis, persistent=False)
        self.register_buffer("synthesis", synthesis, persistent=False)
        plane, width = Plane(1), config.spectral_channels
        cells = channels * len(analysis) // 2
        self.stem = plane.conv(2 * cells, width, 3)
        stages = (Stage(plane, width, width, embedding, config, True, False) for _ in range(config.spectral_blocks))
        self.stages = nn.ModuleList(stages)
        self.norm = group_norm(width, config)
        self.out = output_layer(zero(plane.conv(width, cells, 1)))

    def forward(self, x: Tensor, log_sigma: Tensor, context: Context) -> Tensor:
        """Return what is added to the network's output, of the shape of x.

        Arguments:
            x: State of unit variance, (B, C, T).
            log_sigma: log s, (B,).
            context: Embedding of the noise level and the conditions.
        """
        with torch.autocast(x.device.type, enabled=False):  # bf16 rounds strong partials to more than faint noise
            spectra = self.spectra(x)
            power = spectra.unflatten(1, (2, -1)).square().sum(1).unflatten(0, x.shape[:2]).flatten(1, 2)
        h = self.stem(features(power, log_sigma)[:, :, None])
        for stage in self.stages:
            h = stage(context, h)
        half_log_power = self.out(self.norm(h))[:, :, 0].float()
        with torch.autocast(x.device.type, enabled=False):
            mask = filter_mask(half_log_power, log_sigma).unflatten(1, (x.shape[1], -1)).flatten(0, 1)
            return self.sound(spectra * mask.repeat(1, 2, 1), x.shape)

    def spectra(self, x: Tensor) -> Tensor:
        """Return short-time spectra (B C, 2 K, M) of sounds (B, C, T): real, then imaginary parts."""
        ends = self.size - self.hop
        flat = functional.pad(x.float().flatten(0, 1)[:, None], (ends, ends - x.shape[-1] % -self.hop))
        return functional.conv1d(flat, self.analysis, stride=self.hop)

    def sound(self, spectra: Tensor, shape: torch.Size) -> Tensor:
        """Return sounds of a shape (B, C, T) from short-time spectra; the inverse of `spectra`."""
        begin = self.size - self.hop
        flat = functional.conv_transpose1d(spectra, self.synthesis, stride=self.hop)
        return flat[:, 0, begin : begin + shape[-1]].reshape(shape)


def bases(size: int) -> tuple[Tensor, Tensor]:
    """Return the kernels (2 K, 1, n) of a short-time Fourier transform and of its inverse.

    The window is a sine, sin(pi (i + 1/2) / n), whose squares add up to 2 at a hop of n / 4. White noise of unit
    variance has the power 1 in each cell.

    Arguments:
        size: n, a multiple of 4.
    """
    i = torch.arange(size, dtype=torch.float64)
    k = torch.arange(size // 2 + 1, dtype=torch.float64)[:, None]
    window, angle = torch.sin(math.pi * (i + 0.5) / size), 2 * math.pi * k * i / size
    waves = torch.cat([window * angle.cos(), -window * angle.sin()])
    twice = torch.where((k == 0) | (k == size // 2), 1.0, 2.0).repeat(2, 1)  # for the frequencies below 0
    analysis, synthesis = waves * math.sqrt(2 / size), twice * waves / math.sqrt(8 * size)
    return analysis[:, None].float(), synthesis[:, None].float()


def features(power: Tensor, log_sigma: Tensor) -> Tensor:
    """Return what the branch sees of powers (B, C K, M): their logarithms, and those of their ratio to the noise's."""
    noise = torch.sigmoid(2 * log_sigma)[:, None, None]  # s^2 / (1 + s^2), that of a state of unit variance
    return torch.cat([(power + QUIET).log() / 4, (power / noise + FAINT).log()], 1)


def filter_mask(half_log_power: Tensor, log_sigma: Tensor) -> Tensor:
    """Return s (S - 1) / (S + s^2) for log S / 2, (B, C K, M), and log s, (B,)."""
    power = (2 * half_log_power).clamp(LEAST, HIGHEST).exp()
    sigma = log_sigma.float().exp()[:, None, None]
    return sigma * (power - 1) / (power + sigma.square())
