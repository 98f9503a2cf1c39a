"""Export of a network as a program: for onnxruntime, or of torch.export.

    model.onnx, model.pt2   x, sigma and further inputs -> estimate of the clean state
    model.json              what the inputs mean, and the sampler's steps (`polydiff.export.description`)
    sample.py, inputs.py, states.py   a program that samples, with numpy and onnxruntime alone

Sizes are symbols of the traced program: the batch, the sizes of images and sounds, the number of atoms.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from polydiff.contract.discover import missing_modules
from polydiff.export.deploys import HasProgram
from polydiff.export.description import describe
from polydiff.export.formats import Request
from polydiff.export.network import Exported, check_exportable
from polydiff.model.model import Model
from polydiff.support.errors import UserError, one_line
from polydiff.support.protocols import provides

REFERENCE = Path(__file__).parent / "reference"
"""Programs that are copied beside a network."""
ONNX = ("onnx", "onnxscript", "onnxruntime")
OPSET, INT64 = 20, 7
"""Version of the operators of ONNX, and its number of the type int64."""


def write_onnx(request: Request, folder: Path) -> None:
    """Write model.onnx with its description and a program that samples."""
    if absent := missing_modules(ONNX):
        raise UserError(f'--format onnx needs {", ".join(absent)}. Type: pip install "polydiff[export]"')
    exported, description = opened(request)
    program = traced(exported)
    fix_axes(description, program)
    onnx_program(program, list(description["inputs"]), folder / "model.onnx")
    write_description(description, folder)
    domain = exported.model.domain
    own = domain.exported_program()[0] if provides(domain, HasProgram) else REFERENCE / "states.py"
    for name in ("sample.py", "inputs.py"):
        shutil.copyfile(REFERENCE / name, folder / name)
    shutil.copyfile(own, folder / "states.py")


def onnx_program(program: Any, names: Sequence[str], path: Path) -> None:
    """Write a program of torch.export as a file for onnxruntime.

    Arguments:
        program: The program.
        names: Names of its inputs.
        path: The file.

    Raises:
        UserError: It has an operation that ONNX lacks.
    """
    table: dict[Any, Any] = {torch.ops.prims.hypot.default: hypot, torch.ops.aten.searchsorted.Tensor: searchsorted}
    try:
        with quiet():
            torch.onnx.export(
                program,
                (),
                str(path),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(names),
                output_names=["estimate"],
                external_data=False,
                verbose=False,
                custom_translation_table=table,
            )
    except Exception as error:  # a third party's network can have any operation
        cause = one_line(error.__cause__ or error)[:500]
        raise UserError(f"The network cannot be written for onnxruntime: {cause}. Try --format torch.") from error


def operators() -> Any:
    """Return the operators of ONNX."""
    from onnxscript import opset20

    return opset20


def hypot(a: Any, b: Any) -> Any:
    """Return the root of a^2 + b^2 as nodes of ONNX, whose operators have no such function."""
    op = operators()
    return op.Sqrt(op.Add(op.Mul(a, a), op.Mul(b, b)))


def searchsorted(
    sequence: Any, x: Any, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> Any:
    """Return how many numbers of a sequence (n,) are below each x (B,), as nodes of ONNX.

    Arguments:
        sequence: The numbers, ascending.
        x: What is looked for.
        out_int32: Unused: the result is int64.
        right: Unused: networks look from the left.
        side: Unused, as `right`.
        sorter: Unused.
    """
    op = operators()
    below = op.Less(op.Unsqueeze(sequence, [0]), op.Unsqueeze(x, [1]))
    return op.ReduceSum(op.Cast(below, to=INT64), [1], keepdims=0)


def write_torch(request: Request, folder: Path) -> None:
    """Write model.pt2 with its description."""
    exported, description = opened(request)
    program = traced(exported)
    fix_axes(description, program)
    torch.export.save(program, folder / "model.pt2")
    write_description(description, folder)


def opened(request: Request) -> tuple[Exported, dict[str, Any]]:
    """Return the network of a run and its description."""
    model = Model.load(request.run, weights=request.weights, device="cpu", ema=request.ema)
    check_exportable(model)
    exported = Exported(model)
    return exported, describe(exported, model.plan(**request.sampling))


def write_description(description: Mapping[str, Any], folder: Path) -> None:
    """Write model.json."""
    (folder / "model.json").write_text(json.dumps(description, indent=1))


def traced(exported: Exported) -> Any:
    """Return the network as a program of torch.export in which sizes are symbols.

    Raises:
        UserError: torch cannot trace it, or a size became a fixed number.
    """
    x, sigma, inputs = exported.example
    dynamic = {
        "x": dynamic_axes(exported, "x"),
        "sigma": dynamic_axes(exported, "sigma"),
        "inputs": {name: dynamic_axes(exported, name) for name in inputs},
    }
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(exported.network, (x, sigma, inputs), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        raise UserError(f"torch.export cannot trace the network: {one_line(error)[:500]}") from error


def fix_axes(description: Mapping[str, Any], program: Any) -> None:
    """Write the number of each size that the network fixes into the description's axes of its inputs.

    Arguments:
        description: model.json.
        program: The network as a program of torch.export.

    Raises:
        UserError: The network fixes the number of samples.
    """
    shapes = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder"}
    for about, name in zip(description["inputs"].values(), program.graph_signature.user_inputs, strict=True):
        for place, size in enumerate(shapes[name]):
            if isinstance(size, int):
                about["axes"][place] = size
        if not isinstance(about["axes"][0], str):
            raise UserError("The network fixes the number of samples while it is traced, so it cannot be exported.")


def dynamic_axes(exported: Exported, name: str) -> dict[int, Any]:
    """Return which axes of an input are symbols, in the form of torch.export."""
    return {place: torch.export.Dim.AUTO for place, axis in enumerate(exported.axes(name)) if isinstance(axis, str)}


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and notes of the exporter about its own internals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
