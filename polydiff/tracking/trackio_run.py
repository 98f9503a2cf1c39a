"""trackio: runs in local files, or in a Space. Steps that it has are not recorded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.tracking.tracker import PICTURES, SOUNDS, Tracked, text_of


class Tracking:
    """A run of trackio.

    Arguments:
        run: The run.
        project: Project.
        space: Space that shows it, such as user/name; None: local files alone.
    """

    def __init__(self, run: Tracked, project: str = "polydiff", space: str | None = None) -> None:
        import trackio

        self.trackio, self.seen = trackio, run.seen
        self.run = trackio.init(
            project=project,
            name=f"{run.name}-{run.key[:6]}",  # its runs are known by their names
            space_id=space,
            config=dict(run.config),
            resume="allow",
            embed=False,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if step > self.seen:
            self.trackio.log(dict(values), step=step)

    def samples(self, step: int, name: str, files: Sequence[Path]) -> None:
        if step > self.seen or step == 0:
            media = {f"{name}/{i}": self.media(path) for i, path in enumerate(files)}
            self.trackio.log({key: one for key, one in media.items() if one is not None}, step=step)

    def media(self, path: Path) -> Any:
        """Return a file as an object that it shows; None if it shows none of this kind."""
        suffix = path.suffix.lower()
        if suffix in PICTURES:
            return self.trackio.Image(str(path))
        if suffix in SOUNDS:
            return self.trackio.Audio(str(path))
        text = text_of(path)
        return None if text is None else self.trackio.Markdown(f"```\n{text}\n```")

    def close(self) -> None:
        self.trackio.finish()
