"""Limits of the requests to a server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of requests.

    Arguments:
        samples: Most samples of a job.
        steps: Most sampling steps.
        queue: Most jobs that wait while one is computed.
        upload: Most bytes of an uploaded file.
        patience: Seconds without a request about a job after which it is stopped.
        seconds: Longest computation of a job.
    """

    samples: int = 64
    steps: int = 250
    queue: int = 16
    upload: int = 16 * 2**20
    patience: float = 10.0
    seconds: float = 600.0

    @property
    def calls(self) -> int:
        """Most calls of the network for a batch: a sampler of fourth order takes four a step."""
        return 4 * self.steps

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """Return what `as_json` gave."""
        return cls(**found)


BODY = 256 * 2**10
"""Most bytes of a request's JSON."""
FRAMES = 48
"""Most moments of a film."""
SHARES = 32
"""Most examples between two."""
DRAWS = 16
"""Most draws of a stage for a sample."""
ITERATIONS = 200
"""Most iterations of a linear solver for a step."""
LARGER = 4
"""How many times larger than an example of training an uploaded one may be."""
KEPT, FILES = 200, 50
"""Most finished jobs, and most uploaded files, that are kept."""
KEPT_SECONDS = 1800.0
"""Seconds for which results and uploaded files are kept after their last request."""
