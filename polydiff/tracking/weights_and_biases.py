"""Weights & Biases. Steps that the service has seen are not sent again, since it takes each step once.

Settings such as the project can also be set by its own environment variables: WANDB_PROJECT, WANDB_MODE=offline, ...
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.tracking.tracker import PICTURES, SOUNDS, Tracked, text_of

MOLECULES = frozenset((".sdf", ".mol2", ".pdb"))
"""Suffixes of files that the service shows as molecules."""


class Tracking:
    """A run of Weights & Biases.

    Arguments:
        run: The run; its folder also holds the files of the service.
        project: Project; None: as in the service's settings, or polydiff.
        entity: User or team; None: as in the service's settings.
        mode: "online", "offline" or "disabled"; None: as in the service's settings.
        tags: Tags.
    """

    def __init__(
        self,
        run: Tracked,
        project: str | None = None,
        entity: str | None = None,
        mode: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        import wandb

        self.wandb, self.seen = wandb, run.seen
        self.run = wandb.init(
            project=project or os.environ.get("WANDB_PROJECT", "polydiff"),
            entity=entity,
            mode=mode,
            tags=list(tags) or None,
            name=run.name,
            id=run.key,
            resume="allow",
            dir=str(run.path),
            config=dict(run.config),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if step > self.seen:
            self.run.log(dict(values), step=step)

    def samples(self, step: int, name: str, files: Sequence[Path]) -> None:
        media = [self.media(path) for path in files]
        if step > self.seen or step == 0:
            self.run.log({name: [one for one in media if one is not None]}, step=step)

    def media(self, path: Path) -> Any:
        """Return a file as an object that the service shows; None if it shows none of this kind."""
        suffix = path.suffix.lower()
        if suffix in PICTURES:
            return self.wandb.Image(str(path))
        if suffix in SOUNDS:
            return self.wandb.Audio(str(path))
        if suffix in MOLECULES:
            return self.wandb.Molecule(str(path))
        text = text_of(path)
        return None if text is None else self.wandb.Html(f"<pre>{html.escape(text)}</pre>")

    def close(self) -> None:
        self.run.finish()
