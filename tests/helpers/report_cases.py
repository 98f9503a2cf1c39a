"""Cases that several tests share: report."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from polydiff.report.page import write_report


def png() -> str:
    """Return a 2 x 2 grey picture as an <img>."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0\x80\xff\0\xff\x80")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    data += chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f'<img alt="grey" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def sound(seconds: float = 0.25) -> str:
    """Return a tone as an <audio>."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        tone = (9000 * np.sin(np.arange(int(8000 * seconds)) * 0.3)).astype("<i2")
        out.writeframes(tone.tobytes())
    return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"></audio>'


def make_run(path: Path, **changes: Any) -> Path:
    """Write a run's folder as training and evaluation leave it; `changes` replace or (None) leave out parts."""
    parts = {
        "config.input.yaml": "domain: audio\ntrain:\n  steps: 600\n",
        "config.resolved.yaml": "domain: audio  # command line\nseed: 3  # default\nschedule: edm  # default\n"
        "target: edm  # default\ntrain:\n  steps: 600  # command line\ndata:\n  name: plucks  # default\n",
        "metrics.jsonl": "".join(
            json.dumps({"step": s, "loss": 1 / s, "grad_norm": 2.0, "lr": 1e-4, "seconds": s / 2}) + "\n"
            for s in range(20, 601, 20)
        ),
        "evaluation.json": json.dumps(
            {"step": 600, "n": 64, "seed": 5, "sampler": "heun", "steps": 20, "evaluations": 39, "guidance": 1.5}
            | {"weights": "ema", "domain": "audio", "n_data": 64, "cond": {"note": "C 4"}}
            | {"metrics": {"pitch_error": METRIC}}
        ),
        "samples/real/show.html": f"<p>real</p>{png()}{sound()}",
        **{f"samples/step-{s:08d}/show.html": f"<p>made at {s}</p>{png()}{sound()}" for s in (100, 300, 600)},
    }
    for name, content in (parts | changes).items():
        if content is not None:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
    return path


METRIC = {
    "value": 12.5, "data": 2.5, "noise": 102.5, "unit": "cents", "better": "lower", "meaning": "How far off.",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would find: elements, and text by the nearest element."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report(path: Path, **changes: Any) -> str:
    """Return the report of a made-up run."""
    return write_report(make_run(path / "runs" / "audio-001", **changes)).read_text()
