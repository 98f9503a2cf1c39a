"""In the worker: examples that clients upload or choose, read by the domain's own reader."""

from __future__ import annotations

from pathlib import Path

from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.model.edit import read
from polydiff.model.model import Model
from polydiff.serve.limits import LARGER
from polydiff.support.errors import UserError, amount


def example(model: Model, path: Path | str, n: int) -> Batch:
    """Return n copies of the example in a file.

    Raises:
        UserError: As `check_size`.
    """
    given = read(model, [path] * n)
    check_size(model, given, n)
    return given


def check_size(model: Model, given: Batch, n: int) -> None:
    """Check examples that were read from n copies of a file.

    Raises:
        UserError: The file holds another number of examples than one, or a much larger one than those of training.
    """
    if given.space.batch != n:
        raise UserError(f"The file holds {amount(given.space.batch // n, 'example')}. Give one of them.")
    trained = model.domain.blank(streams(0, "probe", range(1)), {})[0].dim[0]
    if float(given.space.dim.max()) > LARGER * float(trained):
        raise UserError(f"The example is more than {LARGER} times as large as those of training. Give a smaller one.")
