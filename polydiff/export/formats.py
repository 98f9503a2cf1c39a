"""The formats of `polydiff export`: name -> what writes it. Nothing here imports torch.

To add a format, write a function (request, folder) that fills a new, empty folder, and enter it in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.discover import load
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError, unknown
from polydiff.support.files import check_free, folder_atomic


class Format(NamedTuple):
    """A format of an export.

    Attributes:
        write: "module:function", called as function(request, folder).
        summary: What the folder holds, for the help.
    """

    write: str
    summary: str


FOLDER = "polydiff"
"""Name of the format that `polydiff.sharing` writes, a folder that stands wherever a run can; the default."""
FORMATS: dict[str, Format] = {
    "onnx": Format("polydiff.export.program:write_onnx", "the network for onnxruntime, with a program that samples"),
    "torch": Format("polydiff.export.program:write_torch", "the network as a program of torch.export"),
    "diffusers": Format("polydiff.export.diffusers:write", "a pipeline of the library diffusers"),
}


@dataclass(frozen=True)
class Request:
    """What is exported.

    Arguments:
        run: Folder of a run, or of one of its checkpoints.
        weights: "ema", the moving average of the weights, or "model", the weights as trained.
        ema: Width of an average computed from snapshots; None: the moving average that training kept.
        sampling: Keys of the section `sample` that replace those of the run; None as a value: no change.
        cond: Conditions that the export is for, in the user's words.
    """

    run: Path
    weights: str = "ema"
    ema: float | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    cond: Mapping[str, Any] = field(default_factory=dict)


def export(name: str, request: Request, output: Path) -> None:
    """Write an export to a new folder, whole or not at all.

    Arguments:
        name: Name of the format.
        request: What is exported.
        output: The folder, which must not exist or be empty.

    Raises:
        UserError: The format is unknown, the folder exists, or the run cannot be exported in this format.
    """
    if name not in FORMATS:
        raise unknown("format", name, [FOLDER, *FORMATS])
    check_free(output, advice := "Choose another -o.")
    if is_pipeline(request.run):
        raise UserError(
            f"{request.run} is a pipeline of several runs. Export each of them, a folder in {request.run / 'stages'}."
        )
    write = load(FORMATS[name].write)
    with folder_atomic(output, new=advice) as draft:
        write(request, draft)
