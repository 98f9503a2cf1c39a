"""The trackers of a session of training. One that fails ends with a warning, and training continues without it."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polydiff.contract.discover import load, load_spec
from polydiff.contract.sections.run import Config
from polydiff.gallery.names import MANIFEST
from polydiff.run.folder import Run
from polydiff.run.loss_by_level import WIDTH, of_record
from polydiff.support.errors import one_line
from polydiff.support.files import read_json, write_atomic
from polydiff.tracking.spec import TrackerSpec
from polydiff.tracking.tracker import Tracked, Tracker

KEY = "tracking.json"
"""File in a run's folder that holds the text by which trackers recognise the run."""
SHOWN = 16
"""Largest number of samples of a set that are recorded."""


class Trackers:
    """The trackers of a session, all called alike; without any, every call does nothing.

    Arguments:
        run: What they show; None: nothing.
        names: Names of trackers.
        options: Name of a tracker -> its options.
    """

    def __init__(
        self,
        run: Tracked | None = None,
        names: Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.open: dict[str, Tracker] = {}
        for name in names:
            more = (options or {}).get(name, {})
            self.trying(name, lambda name=name, more=more: self.begin(name, run, more))  # type: ignore[misc]

    def begin(self, name: str, run: Tracked | None, options: Mapping[str, Any]) -> None:
        """Build a tracker."""
        self.open[name] = load(load_spec(TrackerSpec, name).factory)(run, **options)

    def trying(self, name: str, work: Callable[[], None]) -> None:
        """Call `work` for a tracker; if it fails, warn, and do not use the tracker again."""
        try:
            work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a training is worth more than what a tracker shows of it
            self.open.pop(name, None)
            warnings.warn(
                f"track={name} failed: {one_line(error).rstrip('.')}. Training continues without it.", stacklevel=4
            )

    def each(self, work: Callable[[Tracker], None]) -> None:
        """Call `work` with each tracker."""
        for name, tracker in list(self.open.items()):
            self.trying(name, lambda tracker=tracker: work(tracker))  # type: ignore[misc]

    def record(self, line: Mapping[str, Any]) -> None:
        """Record a line of metrics.jsonl."""
        values = numbers_of(line)
        self.each(lambda tracker: tracker.scalars(line["step"], values))

    def show(self, step: int, name: str, folder: Path) -> None:
        """Record a set of samples that was written to a folder (`polydiff.gallery.sets`)."""
        if folder.is_dir():  # or it could not be written
            self.each(lambda tracker: tracker.samples(step, name, files_of(folder)))

    def close(self) -> None:
        """Close all."""
        self.each(lambda tracker: tracker.close())
        self.open.clear()


def files_of(folder: Path) -> list[Path]:
    """Return the files of the first samples of a set."""
    entries = read_json(folder / MANIFEST).get("samples", [])
    return [folder / entry["file"] for entry in entries[:SHOWN]]


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of metrics.jsonl by name; that of a bin is named by the middle of its log-SNR."""
    known = {name: value for name, value in line.items() if name not in ("step", "bins") and value is not None}
    bins = {f"loss_by_log_snr/{float(start) + WIDTH / 2:g}": mean for start, (mean, _) in of_record(line).items()}
    return {name: float(value) for name, value in known.items()} | bins


@contextmanager
def tracked(run: Run, config: Config, step: int, seen: int) -> Iterator[Trackers]:
    """Yield the trackers of a configuration, which are closed at the end, however the block ends.

    Arguments:
        run: The run's folder.
        config: The configuration.
        step: Steps done.
        seen: As in `Tracked`.
    """
    if not config.track:
        yield Trackers()
        return
    trackers = Trackers(
        Tracked(run.path, key_of(run), dotted(config.model_dump(mode="json")), step, seen),
        config.track,
        config.track_options,
    )
    if step == 0:
        trackers.show(0, "real", run.samples("real"))
    try:
        yield trackers
    finally:
        trackers.close()


def key_of(run: Run) -> str:
    """Return the text by which trackers recognise a run; it is made once and kept in the run's folder."""
    path = run.path / KEY
    found = read_json(path).get("key")
    if not isinstance(found, str):
        found = uuid.uuid4().hex
        write_atomic(path, f'{{"key": "{found}"}}\n')
    return found


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as dotted key -> value; lists and empty mappings are values."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= dotted(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
