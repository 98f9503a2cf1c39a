"""Self-contained HTML players of sounds, with waveforms and mel spectrograms."""

from __future__ import annotations

import base64
import html
import io
import wave
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.spectrogram import FLOOR, mel_decibels

SHOWN, BYTES = 16, 340_000
"""Upper bounds of the shown sounds and of their HTML in bytes; at least two sounds are shown."""
WIDTH, HEIGHT, MELS = 320, 64, 40
"""Width of a picture and height of the waveform in pixels, and bands of the mel spectrogram, 2 pixels each."""
STRIPE = 24
"""Height of a stripe of weights in pixels."""
RGB = np.array([2**16, 2**8, 1], np.uint32)
"""Weights of red, green and blue in the number of a colour."""
COLUMNS, GAP = 4, 6
"""Sounds in a row of a sheet, and pixels between them."""


def show(sounds: Sequence[Tensor], captions: Sequence[str], sample_rate: int) -> str:
    """Return an HTML fragment of players of sounds (C, T), each with caption, waveform and mel spectrogram."""
    figures: list[str] = []
    for sound, caption in list(zip(sounds, captions, strict=True))[:SHOWN]:
        figures.append(figure(sound, caption, sample_rate))
        if len(figures) >= 2 and sum(map(len, figures)) + len(figures[-1]) > BYTES:
            break
    grid = "display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:12px"
    return f'<div style="{grid}">{"".join(figures)}</div>'


def figure(sound: Tensor, caption: str, sample_rate: int) -> str:
    """Return the HTML of one sound's caption, picture and player."""
    picture, player = data_uri("image/png", png(sound, sample_rate)), data_uri("audio/wav", wav(sound, sample_rate))
    text = html.escape(caption)
    return (
        f'<figure style="margin:0;min-width:0"><figcaption style="font-size:13px">{text}</figcaption>'
        f'<img alt="waveform and mel spectrogram: {text}" src="{picture}" style="display:block;width:100%;'
        f'height:110px"><audio controls preload="metadata" src="{player}" style="width:100%;height:32px">'
        "</audio></figure>"
    )


def show_weights(sounds: Sequence[Tensor], weights: Tensor, captions: Sequence[str], sample_rate: int) -> str:
    """Return an HTML fragment of pictures of sounds (C, T), each above a stripe of weights of its times.

    Arguments:
        sounds: B sounds.
        weights: Numbers from 0, dark, to 1, bright, (B, n) for n times.
        captions: B texts.
        sample_rate: Samples per second.
    """
    figures = "".join(map(weighted, sounds, weights, captions, [sample_rate] * len(sounds)))
    return (
        f'<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px">{figures}</div>'
    )


def weighted(sound: Tensor, weights: Tensor, caption: str, sample_rate: int) -> str:
    """Return the HTML of one sound's picture above a stripe of weights (n,) in [0, 1]."""
    from matplotlib import colormaps

    share = functional.interpolate(weights[None, None].float(), WIDTH, mode="nearest-exact")[0, 0].numpy()
    stripe = np.rint(255 * colormaps["magma"](share)[..., :3]).astype(np.uint8)[None].repeat(STRIPE, 0)
    picture = data_uri("image/png", as_png(np.concatenate([pixels_of(sound, sample_rate), stripe])))
    text = html.escape(caption)
    return (
        f'<figure style="margin:0;min-width:0"><img alt="weights over a spectrogram: {text}" src="{picture}" '
        f'style="display:block;width:100%;height:90px"><figcaption style="font-size:12px">{text}</figcaption></figure>'
    )


def data_uri(kind: str, data: bytes) -> str:
    """Return bytes as a data: URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def pcm16(sound: Tensor) -> np.ndarray:
    """Return sounds (..., C, T) as 16-bit integers (..., T, C), clipped to full scale; NaN becomes silence."""
    clean = torch.nan_to_num(sound, nan=0.0, posinf=1.0, neginf=-1.0).clamp(-1, 1)
    return (clean * 32767).round().to(torch.int16).mT.contiguous().numpy()


def wav(sound: Tensor, sample_rate: int) -> bytes:
    """Return a sound (C, T) as a 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(sound.shape[0])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm16(sound).astype("<i2").tobytes())
    return buffer.getvalue()


def png(sound: Tensor, sample_rate: int) -> bytes:
    """Return a PNG of a sound: its waveform and, if torchaudio is installed, its mel spectrogram below."""
    return as_png(pixels_of(sound, sample_rate))


def sheet(sounds: Sequence[Tensor], sample_rate: int) -> bytes:
    """Return a PNG of sounds (C, T), each as in `png`, in rows of up to four."""
    blocks = [
        np.pad(pixels_of(sound, sample_rate), [(0, GAP), (0, GAP), (0, 0)], constant_values=255) for sound in sounds
    ]
    columns = min(len(blocks), COLUMNS)
    blocks += [np.full_like(blocks[0], 255)] * (-len(blocks) % columns)
    rows = [np.concatenate(blocks[i : i + columns], 1) for i in range(0, len(blocks), columns)]
    return as_png(np.concatenate(rows)[:-GAP, :-GAP])


def as_png(pixels: np.ndarray) -> bytes:
    """Return pixels uint8 (H, W, 3) as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    codes = pixels.astype(np.uint32) @ RGB  # numbers are sorted in a tenth of the time of rows
    colours, index = np.unique(codes, return_inverse=True)
    if len(colours) <= 256:  # as of one colour map: a byte a pixel instead of three
        image = Image.fromarray(index.reshape(codes.shape).astype(np.uint8), "P")
        image.putpalette((colours[:, None] // RGB % 256).astype(np.uint8).tobytes())
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pixels_of(sound: Tensor, sample_rate: int) -> np.ndarray:
    """Return the picture of a sound (C, T) as pixels uint8 (H, WIDTH, 3)."""
    from matplotlib import colormaps

    mono = torch.nan_to_num(sound).mean(0)
    colours = colormaps["magma"]
    parts = [colours(waveform(mono))]
    if not optional.lacks_torchaudio():
        parts.append(colours(spectrogram(mono, sample_rate)).repeat(2, 0).repeat(2, 1))
    pixels: np.ndarray = np.rint(255 * np.concatenate(parts)[..., :3]).astype(np.uint8)
    return pixels


def edges(length: int, n: int) -> list[int]:
    """Return where n parts of nearly equal length begin, and the length; parts of n > length have one element each."""
    found: list[int] = torch.linspace(0, length, n + 1).long().tolist()
    return found


def columns(x: Tensor, n: int) -> list[Tensor]:
    """Return the last axis in n non-empty parts of nearly equal length."""
    return [x[..., a : max(b, a + 1)] for a, b in pairwise(edges(x.shape[-1], n))]


def waveform(mono: Tensor) -> np.ndarray:
    """Return the range of the waveform in each column, bright on dark, shape (HEIGHT, WIDTH), in [0, 1]."""
    rows, x = torch.linspace(1, -1, HEIGHT)[:, None], mono.clamp(-1, 1).numpy()
    starts = edges(len(x), WIDTH)[:-1]
    high, low = (torch.from_numpy(extreme.reduceat(x, starts)) for extreme in (np.maximum, np.minimum))
    half = 1 / (HEIGHT - 1)
    return ((rows <= high + half) & (rows >= low - half)).float().mul(0.75).numpy()


def spectrogram(mono: Tensor, sample_rate: int) -> np.ndarray:
    """Return the mel spectrogram, low frequencies at the bottom, shape (MELS, WIDTH / 2), in [0, 1]."""
    dots = WIDTH // 2
    decibels = mel_decibels(mono[None, None], sample_rate, MELS, hop=max(1, len(mono) // dots))[0]
    return torch.stack([part.mean(-1) for part in columns(1 - decibels / FLOOR, dots)], 1).flip(0).clamp(0, 1).numpy()
