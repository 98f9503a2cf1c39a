"""The interface of a tracker, and what it learns of the run that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".webp"))
SOUNDS = frozenset((".wav", ".flac", ".ogg", ".mp3"))
"""Suffixes of files that trackers show as pictures and play; they show others as text."""
LONGEST = 20_000
"""Largest number of characters of a file that is shown as text."""


@dataclass(frozen=True)
class Tracked:
    """The run that a tracker shows.

    Arguments:
        path: The run's folder.
        key: Text that names this run alone, the same in each of its sessions.
        config: Every key with its value, as JSON values; keys are dotted.
        step: Steps done when the session begins; 0: the run is new.
        seen: Last step whose numbers an earlier session recorded. It is after `step` if that session ended without a
            checkpoint; the run then does the same steps once more.
    """

    path: Path
    key: str
    config: Mapping[str, Any]
    step: int = 0
    seen: int = 0

    @property
    def name(self) -> str:
        """Name of the run for people: that of its folder."""
        return self.path.resolve().name


class Tracker(Protocol):
    """A program that shows runs. An exception of its methods becomes one warning, and training continues without it.

    It is built as factory(run: Tracked, **options).
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers of a step by name, such as {"loss": 0.3, "loss_by_log_snr/-1": 0.9}; steps ascend."""

    def samples(self, step: int, name: str, files: Sequence[Path]) -> None:
        """Record files of samples: pictures, sounds, or texts.

        Arguments:
            step: Steps done.
            name: "samples", or "real" for real examples beside them, which are recorded once.
            files: One file a sample; they stay where they are while the run trains.
        """

    def close(self) -> None:
        """Finish what is recorded; nothing follows."""


def text_of(path: Path) -> str | None:
    """Return the text of a file, shortened; None if it is no text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n..."
