"""Configurations of the networks. This module does not import torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from polydiff.contract.sections.network import BackboneConfig

WIDEST, DEEPEST, MOST_LEVELS = 2**16, 1000, 16
"""Largest number of channels, features or heads, of layers or blocks, and of levels: more is a slip of the pen."""
Multiple = Annotated[int, Field(ge=1, le=4096)]


class UNetConfig(BackboneConfig):
    """A U-Net. Level 0 is the finest; a level has `channels * mult[level]` channels."""

    name: str = "unet"
    """Which backbone."""
    channels: int = Field(64, ge=1, le=WIDEST)
    """Channels of the finest level."""
    mult: tuple[Multiple, ...] = Field((1, 2, 2), max_length=MOST_LEVELS)
    """Channels of each level, as multiples of `channels`; as many numbers as levels."""
    strides: tuple[Multiple, ...] = ()
    """Factor by which each level is coarser than the one before: levels - 1 numbers, one for all, or none for 2."""
    blocks: int = Field(2, ge=1, le=DEEPEST)
    """Residual blocks of each level, on the way down and again on the way up."""
    attention: tuple[NonNegativeInt, ...] = Field((2,), max_length=MOST_LEVELS)
    """Levels with self-attention after each block; the middle has it if the deepest level has it, or topology=ddpm."""
    heads: int = Field(4, ge=1, le=WIDEST)
    """Attention heads."""
    positions: Literal["none", "rotary"] = "none"
    """How self-attention encodes places; none: only the padding of convolutions at the edges marks them."""
    coordinates: bool = False
    """Whether the network also sees the coordinates of each place, which captions such as "at the top left" need."""
    patch: int = Field(1, ge=1, le=4096)
    """Side of the patches that become channels before the first convolution; 1: none."""
    kernel: int = Field(3, ge=1, le=255)
    """Side of the convolutions, odd."""
    ends: int = Field(0, ge=0, le=255)
    """Side in patches of the first and the last convolution, odd, through which neighbours interact; 0: as `kernel`."""
    spectral_window: int = Field(0, ge=0, le=8192, multiple_of=4)
    """Waveforms: samples of a frame of the spectral branch, an adaptive Wiener filter that keeps hiss out; 0: none."""
    spectral_long_window: int = Field(0, ge=0, le=8192, multiple_of=4)
    """Waveforms: samples of the longer frames of a second spectral branch, which keeps partials steady; 0: none."""
    spectral_channels: int = Field(192, ge=1, le=WIDEST)
    """Channels of the network of a spectral branch."""
    spectral_blocks: int = Field(3, ge=1, le=DEEPEST)
    """Residual blocks of the network of a spectral branch, each with attention."""
    group_size: int = Field(16, ge=1, le=WIDEST)
    """Channels of a group in group normalisation."""
    groups: int = Field(0, ge=0, le=WIDEST)
    """Number of groups in every normalisation, a divisor of every level's channels; 0: it follows from `group_size`."""
    topology: Literal["lean", "ddpm"] = "lean"
    """ddpm: as in DDPM, where each level has one more block on the way up, which takes the level's input."""
    modulation: Literal["scale_shift", "shift"] = "scale_shift"
    """How noise level and conditions enter a block: as gain and offset of a normalisation, or added before it."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped in residual blocks."""
    recompute: bool = False
    """Whether the backward pass computes blocks' activations again instead of keeping them: less memory, more time."""
    variance: bool = False
    """Whether the network also predicts the variance of a step; loss.objective=hybrid trains this."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = len(self.mult)
        if not levels:
            raise ValueError("mult is empty; it holds one number a level")
        if len(self.strides) not in (0, 1, levels - 1):
            raise ValueError(
                f"strides has {len(self.strides)} numbers; {levels} levels need {levels - 1}, or 1 for all"
            )
        if any(level >= levels for level in self.attention):
            raise ValueError(f"attention names levels {self.attention}, but mult has levels 0 to {levels - 1}")
        middle = (levels - 1,) if self.topology == "ddpm" else ()
        if 0 < self.spectral_long_window <= self.spectral_window:
            raise ValueError(
                f"spectral_long_window={self.spectral_long_window} is not longer than "
                f"spectral_window={self.spectral_window}; 0 leaves the second branch out"
            )
        spectral = [self.spectral_channels] * bool(self.spectral_windows)
        if any(width % self.heads for width in spectral):
            raise ValueError(f"heads={self.heads} must divide spectral_channels={self.spectral_channels}")
        if any(self.channels * self.mult[level] % self.heads for level in (*self.attention, *middle)):
            where = ", which with topology=ddpm the deepest always is" if middle else ""
            raise ValueError(f"heads={self.heads} must divide the channels of every level with attention{where}")
        attending = [*(self.channels * self.mult[level] for level in self.attention), *spectral]
        if self.positions == "rotary" and any(width // self.heads % 4 for width in attending):
            raise ValueError(
                f"positions=rotary needs heads of 4, 8, 12, ... channels, which heads={self.heads} does not give"
            )
        widths = [*(self.channels * m for m in self.mult), *spectral]
        if self.groups and any(width % self.groups for width in widths):
            advice = f"leave it 0 for groups of about group_size={self.group_size}"
            raise ValueError(f"groups={self.groups} must divide the channels of every level: {widths}; {advice}")
        for name, side in {"kernel": self.kernel, "ends": self.ends or 1}.items():
            if side % 2 == 0:
                raise ValueError(f"{name}={side} is even; take an odd one")
        return self

    @property
    def spectral_windows(self) -> tuple[int, ...]:
        """Samples of a frame of each spectral branch."""
        return tuple(window for window in (self.spectral_window, self.spectral_long_window) if window)

    @property
    def level_strides(self) -> tuple[int, ...]:
        """The factor between each level and the next, levels - 1 numbers."""
        gaps = len(self.mult) - 1
        return self.strides if len(self.strides) == gaps else (self.strides or (2,)) * gaps


class DiTConfig(BackboneConfig):
    """A diffusion transformer on patches, which are the tokens of a sequence."""

    name: str = "dit"
    """Which backbone."""
    patch: int = Field(2, ge=1)
    """Side of a patch: the pixels along each axis, or the samples of a waveform, of one token."""
    width: int = Field(384, ge=4)
    """Numbers of a token."""
    depth: int = Field(12, ge=1)
    """Blocks of attention and a feed-forward layer."""
    heads: int = Field(6, ge=1)
    """Attention heads."""
    ratio: float = Field(8 / 3, gt=0)
    """Width of the gated feed-forward layers as a multiple of `width`, rounded to a multiple of 8."""
    bottleneck: int = Field(0, ge=0)
    """Numbers to which the first layer reduces a patch before it maps them to the width; 0: no reduction."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped in feed-forward layers and in the output of attention."""
    recompute: bool = False
    """Whether the backward pass computes blocks' activations again instead of keeping them: less memory, more time."""
    coordinates: bool = False
    """Whether the network also sees the coordinates of each place, which captions such as "at the top left" need."""
    variance: bool = False
    """Whether the network also predicts the variance of a step; loss.objective=hybrid trains this."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width={self.width} must be a multiple of 4 * heads={4 * self.heads}, "
                "since the positions along two axes turn pairs of a head's numbers"
            )
        return self

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layers."""
        return max(8 * round(self.ratio * self.width / 8), 8)


class AutoencoderConfig(BackboneConfig):
    """A convolutional autoencoder, which maps a state to fewer numbers, its code, and back."""

    name: str = "autoencoder"
    """Which backbone."""
    codes: int = Field(8, ge=1, le=WIDEST)
    """Channels of a code."""
    factor: int = Field(4, ge=1, le=2**16)
    """Places of a state, along each axis, for one place of its code."""
    patch: int = Field(2, ge=1, le=4096)
    """Side of the patches that become channels before the first convolution; `factor` is patch times a power of 2."""
    channels: int = Field(64, ge=1, le=WIDEST)
    """Channels of the finest level; each coarser one has twice as many, up to `widest`."""
    widest: int = Field(128, ge=1, le=WIDEST)
    """Largest number of channels of a level."""
    blocks: int = Field(2, ge=1, le=DEEPEST)
    """Residual blocks of each level, in the encoder and in the decoder."""
    kernel: int = Field(3, ge=1, le=255)
    """Side of the convolutions, odd."""
    group_size: int = Field(16, ge=1, le=WIDEST)
    """Channels of a group in group normalisation."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = self.factor / self.patch
        if self.factor % self.patch or levels != 2 ** (self.levels - 1):
            raise ValueError(f"factor={self.factor} must be patch={self.patch} times a power of 2")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} is even; take an odd one")
        return self

    @property
    def levels(self) -> int:
        """Number of levels; each is half as fine as the one before."""
        return max(self.factor // self.patch, 1).bit_length()

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(min(self.channels * 2**level, max(self.widest, self.channels)) for level in range(self.levels))


class TowerConfig(BackboneConfig):
    """Two encoders that map states, and texts, to vectors of one width."""

    name: str = "tower"
    """Which backbone."""
    embedding: int = Field(64, ge=2, le=WIDEST)
    """Numbers of a vector."""
    patch: int = Field(2, ge=1, le=4096)
    """Side of the patches that become channels before the first convolution."""
    channels: int = Field(64, ge=1, le=WIDEST)
    """Channels of the finest level; each coarser one has twice as many, up to `widest`."""
    widest: int = Field(256, ge=1, le=WIDEST)
    """Largest number of channels of a level."""
    levels: int = Field(3, ge=1, le=MOST_LEVELS)
    """Number of levels; each is half as fine as the one before."""
    blocks: int = Field(1, ge=1, le=DEEPEST)
    """Residual blocks of each level."""
    kernel: int = Field(3, ge=1, le=255)
    """Side of the convolutions, odd."""
    group_size: int = Field(16, ge=1, le=WIDEST)
    """Channels of a group in group normalisation."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of numbers dropped before the last layer of each encoder."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(min(self.channels * 2**level, max(self.widest, self.channels)) for level in range(self.levels))


class MoleculeNetConfig(BackboneConfig):
    """Keys that networks of molecules share."""

    hidden: int = Field(128, ge=1, le=WIDEST)
    """Number of features of an atom."""
    layers: int = Field(6, ge=1, le=DEEPEST)
    """Rounds of messages, each of which updates atoms' vectors and positions."""
    radial: int = Field(16, ge=0, le=WIDEST)
    """Number of Gaussian bumps in which a distance is expanded, besides its square; 0: none."""
    cutoff: float = Field(6.0, gt=0, le=1e6)
    """Centre of the last bump, in standard deviations of the coordinates."""
    neighbours_within: float | None = Field(None, gt=0, le=1e6)
    """Cut-off for large molecules: atoms farther apart exchange no messages. In standard deviations of the coordinates
    of the network's input, noise included; from 3/4 of it on, weights fall smoothly to 0. None: all pairs."""
    aggregation: Literal["mean", "sum"] = "mean"
    """How the messages to an atom are combined: their mean, or their sum divided by `divisor`."""
    divisor: float = Field(10.0, gt=0, le=1e6)
    """Divisor of the sum; unused with the mean."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped in the updates of atoms."""
    recompute: bool = False
    """Whether the backward pass computes pairs' activations again instead of keeping them: less memory, more time."""
    variance: bool = False
    """Whether the network also predicts the variance of a step; loss.objective=hybrid trains this."""


class EGNNConfig(MoleculeNetConfig):
    """An equivariant graph network on all pairs of a molecule's atoms; messages are as wide as atoms."""

    name: str = "egnn"
    """Which backbone."""
    coords_range: float = Field(15.0, gt=0, le=1e6)
    """Bound on the weight of a neighbour in the move of an atom."""


class GraphTransformerConfig(MoleculeNetConfig):
    """An equivariant transformer on a molecule's atoms, with features of pairs and vectors of atoms."""

    name: str = "graph_transformer"
    """Which backbone."""
    heads: int = Field(8, ge=1, le=WIDEST)
    """Attention heads; each weights its share of an atom's features and vectors."""
    pair: int = Field(32, ge=1, le=WIDEST)
    """Number of features of a pair of atoms."""
    vectors: int = Field(16, ge=1, le=WIDEST)
    """Number of an atom's vectors in space."""
    coords_range: float = Field(5.0, gt=0, le=1e6)
    """Bound on the total size of the weights of an atom's vectors in its move."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, number in {"hidden": self.hidden, "vectors": self.vectors}.items():
            if number % self.heads:
                raise ValueError(f"heads={self.heads} must divide {name}={number}")
        return self


class PointAutoencoderConfig(BackboneConfig):
    """Two equivariant graph networks, which map the atoms of a molecule to few numbers each, and back."""

    name: str = "point_autoencoder"
    """Which backbone."""
    codes: int = Field(1, ge=1, le=WIDEST)
    """Features of an atom's code, besides its position."""
    position_std: float = Field(0.02, gt=0, le=10)
    """Standard deviation of the positions of a code, in standard deviations of the coordinates."""
    hidden: int = Field(64, ge=1, le=WIDEST)
    """Number of features of an atom within the networks."""
    encoder_layers: int = Field(2, ge=0, le=DEEPEST)
    """Rounds of messages of the encoder."""
    layers: int = Field(4, ge=1, le=DEEPEST)
    """Rounds of messages of the decoder."""
    radial: int = Field(16, ge=0, le=WIDEST)
    """Number of Gaussian bumps in which a distance is expanded, besides its square; 0: none."""
    cutoff: float = Field(6.0, gt=0, le=1e6)
    """Centre of the last bump, in standard deviations of the coordinates."""
    coords_range: float = Field(15.0, gt=0, le=1e6)
    """Bound on the weight of a neighbour in the move of an atom."""


class MLPConfig(BackboneConfig):
    """A residual multilayer perceptron."""

    name: str = "mlp"
    """Which backbone."""
    hidden: int = Field(256, ge=1, le=WIDEST)
    """Width."""
    layers: int = Field(4, ge=1, le=DEEPEST)
    """Residual blocks."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped in residual blocks."""
    variance: bool = False
    """Whether the network also predicts the variance of a step; loss.objective=hybrid trains this."""
