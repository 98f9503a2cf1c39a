"""Texts in reports: an HTML fragment with monospaced letters, coloured by their kind."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from torch import Tensor
from torch.nn import functional

from polydiff.domains.sequence.alphabet import MASKED

SHOWN, LETTERS = 64, 12_000
"""Upper bounds of the shown texts and of their letters; at least two texts are shown."""
COLOURS = {"digit": "#1f5fa8", "capital": "#8a3b12", "small": "#22262b", "sign": "#7a3f93", "masked": "#b8b8b8"}
"""Kind of letter -> colour, dark enough on white."""
GROUND = "214,96,30"
"""Colour of weights, red, green, blue."""
FONT = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def show(texts: Sequence[str], captions: Sequence[str]) -> str:
    """Return an HTML fragment of texts with their captions."""
    figures: list[str] = []
    room = LETTERS
    for text, caption in list(zip(texts, captions, strict=True))[:SHOWN]:
        room -= len(text)
        if room < 0 and len(figures) >= 2:
            break
        figures.append(figure(text, caption))
    widest = max((len(line) for text in texts for line in text.split("\n")), default=0)
    column = min(max(widest, 8), 60) + 2
    grid = f"display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,{column}ch),1fr));gap:4px 16px"
    return f'<div style="font:13px/1.6 {FONT};{grid}">{"".join(figures)}</div>'


def figure(text: str, caption: str) -> str:
    """Return the HTML of one text, with its caption below it if it has one."""
    below = f'<figcaption style="font-size:11px;color:#656c75">{html.escape(caption)}</figcaption>' if caption else ""
    shown = coloured(text) or '<span style="color:#656c75">(empty)</span>'
    return f'<figure style="margin:0;white-space:pre-wrap;overflow-wrap:anywhere">{shown}{below}</figure>'


def show_weights(texts: Sequence[Sequence[str]], weights: Tensor, captions: Sequence[str], places: int) -> str:
    """Return an HTML fragment of texts whose letters stand on a ground as dark as their weights.

    Arguments:
        texts: B texts as letters; places after the end are drawn as a dot.
        weights: Numbers from 0 to 1, (B, n) for n parts of the places.
        captions: B texts.
        places: Number of places of a state.
    """
    shares = functional.interpolate(weights[:, None].float(), places, mode="nearest-exact")[:, 0].tolist()
    grid = f"display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,{places + 4}ch),1fr));gap:6px 16px"
    figures = "".join(map(weighted, texts, shares, captions))
    return f'<div style="font:13px/1.6 {FONT};{grid}">{figures}</div>'


def weighted(letters: Sequence[str], shares: Sequence[float], caption: str) -> str:
    """Return the HTML of one text on its weights."""
    ended = [*letters, *"\N{MIDDLE DOT}" * (len(shares) - len(letters))]
    spans = "".join(
        f'<span style="background:rgba({GROUND},{0.85 * share:.2f})">{html.escape(visible(letter))}</span>'
        for letter, share in zip(ended, shares, strict=True)
    )
    below = f'<figcaption style="font-size:11px;color:#656c75">{html.escape(caption)}</figcaption>' if caption else ""
    return f'<figure style="margin:0;white-space:pre-wrap;overflow-wrap:anywhere">{spans}{below}</figure>'


def coloured(text: str) -> str:
    """Return the HTML of a text: a coloured span for each run of letters of one kind."""
    return "".join(
        f'<span style="color:{COLOURS[kind]}">{html.escape("".join(map(visible, letters)))}</span>'
        for kind, letters in groupby(text, kind_of)
    )


def kind_of(letter: str) -> str:
    """Return the kind of a letter, a key of `COLOURS`."""
    if letter == MASKED:
        return "masked"
    if letter.isdecimal():
        return "digit"
    if letter.isalpha():
        return "capital" if letter.isupper() else "small"
    return "small" if letter.isspace() else "sign"


def visible(letter: str) -> str:
    """Return a letter that a page can show: control characters except line breaks and tabs become U+FFFD."""
    return "\ufffd" if unicodedata.category(letter) == "Cc" and letter not in "\n\t" else letter
