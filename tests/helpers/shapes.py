"""Shape checks of the central functions of the library, only while tests run.

`SHAPES` states the shapes of arguments and results in the notation of jaxtyping. `install` wraps all these functions,
so every test that calls one also checks its shapes. A wrong shape raises a `ShapeError` that names the function and the
tensor. Axes:

    B   number of samples in the batch, given by the space
    R   rows of a state: B if a row is a sample, or the number of atoms if molecules are packed into one list
    *d  all further axes of a state

An axis has one size within a call: two tensors with R in their shapes have equal numbers of rows. A tuple lists
alternatives. A list or tuple of random streams has one axis, its length.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped, jaxtyped
from torch import Tensor

from polydiff.core.space import Batch

STATE = "R *d"
LEVEL = ("", "B")
"""A noise level or a time: one for all samples, or one a sample."""
Shape = str | tuple[str, ...]


@dataclass(frozen=True)
class Shapes:
    """Shapes of one function.

    Arguments:
        takes: Name of an argument -> shape. Numbers, None and other objects without a shape are not checked.
        returns: Shape of the result, or of each element of a tuple; None: only a result that is a `Batch` is checked.
        yields: Name of an attribute -> shape, for the items of a generator.
        space: Name of the argument that gives B and R: a space, a `Batch`, or a sequence with one element a sample.
    """

    takes: Mapping[str, Shape] = field(default_factory=dict)
    returns: Shape | Sequence[Shape] | None = None
    yields: Mapping[str, Shape] = field(default_factory=dict)
    space: str = "space"


ESTIMATE = Shapes({"x": STATE, "sigma": LEVEL}, STATE)
METHOD = Shapes({"strong": STATE, "weak": STATE, "x": STATE, "sigma": LEVEL}, STATE)
LOSS = Shapes({"sigma": "B", "generators": ("B", "0")}, "B", space="batch")
NETWORK = Shapes({"x": STATE, "log_sigma": "B"}, [STATE, "R ..."])
"""The second output, a variance, may broadcast against a state."""
SPACE = {
    "noise": Shapes({"generators": "B"}, STATE, space="self"),
    "project": Shapes({"x": STATE}, STATE, space="self"),
    "sum": Shapes({"x": STATE}, "B", space="self"),
    "expand": Shapes({"c": LEVEL}, ("", "R ..."), space="self"),
}
SHAPES: dict[str, Shapes] = {
    # spaces
    **{f"polydiff.core.space:Euclidean.{name}": shapes for name, shapes in SPACE.items()},
    **{f"polydiff.domains.molecule.space:DenseMolecules.{name}": shapes for name, shapes in SPACE.items()},
    **{f"polydiff.domains.molecule.space:PackedMolecules.{name}": shapes for name, shapes in SPACE.items()},
    "polydiff.core.space:sqnorm": Shapes({"x": STATE}, "B"),
    # estimates of clean states
    "polydiff.gaussian.forward:q_sample": Shapes({"x_0": STATE, "t": "B", "generators": "B"}, [STATE, STATE]),
    "polydiff.gaussian.denoise:Denoiser.forward": ESTIMATE,
    "polydiff.gaussian.denoise:Denoiser.predict": ESTIMATE,
    "polydiff.gaussian.denoise:Denoiser.with_variance": Shapes(ESTIMATE.takes, [STATE, STATE]),
    "polydiff.gaussian.denoise:Denoiser.estimate": Shapes({"x_t": STATE, "t": "B"}, STATE),
    "polydiff.gaussian.self_conditioning:SelfConditioned.__call__": ESTIMATE,
    "polydiff.gaussian.step_size:StepSize.__call__": ESTIMATE,
    "polydiff.gaussian.guidance.guided:Guided.__call__": ESTIMATE,
    "polydiff.gaussian.guidance.classifier:Classifier.__call__": ESTIMATE,
    "polydiff.gaussian.guidance.threshold:DynamicThreshold.__call__": ESTIMATE,
    "polydiff.gaussian.control.known:Known.__call__": ESTIMATE,
    "polydiff.gaussian.control.known:known_part": Shapes({"x": STATE}, STATE),
    "polydiff.gaussian.control.linear_inverse:Measured.__call__": ESTIMATE,
    "polydiff.gaussian.control.dps:PosteriorSampling.__call__": ESTIMATE,
    "polydiff.gaussian.guidance.method:Linear.__call__": METHOD,
    "polydiff.gaussian.guidance.cfg_pp:PlusPlus.__call__": METHOD,
    "polydiff.gaussian.guidance.apg:Projected.__call__": METHOD,
    "polydiff.gaussian.guidance.cfg_zero:ZeroStar.__call__": METHOD,
    # losses and likelihoods
    "polydiff.gaussian.loss.base:Loss.__call__": LOSS,
    "polydiff.gaussian.likelihood.terms:prior_kl": Shapes({"x_0": STATE}, "B"),
    "polydiff.gaussian.likelihood.terms:log_normal": Shapes({"x": STATE}, "B"),
    # samplers
    "polydiff.gaussian.sampling.execute:execute": Shapes(
        {"x": STATE, "generators": ("B", "0")}, yields={"x": STATE, "x_0": STATE}
    ),
    "polydiff.gaussian.sampling.execute:sample": Shapes({"generators": "B"}, STATE),
    "polydiff.gaussian.control.invert:slerp": Shapes({"a": STATE, "b": STATE, "u": LEVEL}, STATE),
    # networks
    "polydiff.backbones.unet_layers:PlaneNetwork.forward": NETWORK,
    "polydiff.backbones.molecules.network:MoleculeNet.forward": NETWORK,
    "polydiff.backbones.mlp:MLP.forward": NETWORK,
    # data
    "polydiff.domains.image.domain:Image.batch": Shapes({"generators": "B"}, space="indices"),
    "polydiff.domains.audio.domain:Audio.batch": Shapes({"generators": "B"}, space="indices"),
    "polydiff.domains.molecule.domain:MoleculeDomain.batch": Shapes({"generators": "B"}, space="indices"),
}


class ShapeError(AssertionError):
    """A tensor whose shape differs from the one in `SHAPES`."""


class Size:
    """An object with only a shape, with which jaxtyping binds an axis to a number."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.dtype = shape, "int64"


Row = tuple[str, Any, Shape]
"""Name of a value, the value, its expected shape."""


def install() -> None:
    """Wrap every function in `SHAPES` once, also in the modules that have imported it."""
    for name, shapes in SHAPES.items():
        module, _, path = name.partition(":")
        try:
            owner: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("polydiff"):
                raise
            continue  # a domain whose libraries are not installed
        *parents, last = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        original = vars(owner)[last]
        if hasattr(original, "shapes"):
            continue
        wrapped = checked(original, f"{module}.{path}", shapes)
        setattr(owner, last, wrapped)
        if not parents:
            for other in [m for n, m in sys.modules.items() if n.startswith("polydiff.")]:
                if vars(other).get(last) is original:
                    setattr(other, last, wrapped)


def checked(function: Callable[..., Any], where: str, shapes: Shapes) -> Callable[..., Any]:
    """Return the function with checks of the shapes that it takes, returns and yields; `where` names it in errors."""
    names = list(inspect.signature(function).parameters)
    seen: set[object] = set()  # sizes that have been checked already

    def verify(sizes: Sizes, rows: list[Row]) -> None:
        key = (sizes, *[value.shape for _, value, _ in rows])
        if key not in seen:
            verify_shapes(where, sizes, rows)
            seen.add(key)

    def inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sizes, list[Row]]:
        values = dict(zip(names, args, strict=False)) | kwargs
        rows = [row for name, shape in shapes.takes.items() for row in row_of(name, values.get(name), shape)]
        base = values[shapes.space]
        if isinstance(base, Batch):
            rows += row_of(f"{shapes.space}.x", base.x, STATE)
        return sizes_of(base), rows

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():  # compile the function without its checks
            return function(*args, **kwargs)
        sizes, rows = inputs(args, kwargs)
        verify(sizes, rows)
        out = function(*args, **kwargs)
        if isinstance(out, Batch):
            verify(sizes, [*rows, *row_of("the number of samples", range(out.space.batch), "B")])
            sizes = sizes_of(out.space)
            rows = [*row_of("x", out.x, STATE)]
            rows += [row for name, value in (out.cond or {}).items() for row in row_of(name, value, "B ...")]
            verify(sizes, rows)
        elif shapes.returns is not None:
            verify(sizes, [*rows, *results(out, shapes.returns)])
        return out

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
        sizes, rows = inputs(args, kwargs)
        verify(sizes, rows)
        for item in function(*args, **kwargs):
            verify(
                sizes,
                rows + [r for name, shape in shapes.yields.items() for r in row_of(name, getattr(item, name), shape)],
            )
            yield item

    wrapped = generate if shapes.yields else call
    wrapped.shapes = shapes  # type: ignore[attr-defined]
    return wrapped


Sizes = tuple[int, int]
"""B and R."""


def sizes_of(base: Any) -> Sizes:
    """Return B and R of a space, of a `Batch`, or of a sequence with one element a sample."""
    space = base.space if isinstance(base, Batch) else base
    if type(space) in (list, tuple, range):
        return len(space), len(space)
    flat = getattr(space, "batch_index", None)
    return space.batch, space.batch if flat is None else len(flat)


def row_of(name: str, value: Any, shape: Shape) -> list[Row]:
    """Return the check of a value: of a tensor's shape or a sequence's length; [] for any other value."""
    if isinstance(value, Tensor):
        return [(name, value, shape)]
    return [(name, Size(len(value)), shape)] if type(value) in (list, tuple, range) else []


def results(out: Any, shape: Shape | Sequence[Shape]) -> list[Row]:
    """Return the checks of a result: of a tensor against the first shape, or of the elements of a tuple."""
    shapes = list(shape) if isinstance(shape, list) else [shape]
    if isinstance(out, tuple):
        pairs = zip(out, shapes, strict=True)
        return [row for i, (value, one) in enumerate(pairs) for row in row_of(f"output {i + 1}", value, one)]
    return row_of("the output", out, shapes[0])


@functools.cache
def annotation(shape: str, size: bool) -> Any:
    """Return the jaxtyping type of tensors of a shape; of `Size` objects if `size` is true."""
    return Shaped[Size if size else Tensor, shape]


def verify_shapes(where: str, sizes: Sizes, rows: list[Row]) -> None:
    """Raise a `ShapeError` for the first value with a wrong shape; all values share the sizes of their axes."""
    with jaxtyped("context"):
        for axis, size in zip("BR", sizes, strict=True):
            assert isinstance(Size(size), annotation(axis, True))
        for name, value, shape in rows:
            options = (shape,) if isinstance(shape, str) else shape
            if not any(isinstance(value, annotation(one, isinstance(value, Size))) for one in options):
                expected = " or ".join(f'"{one}"' for one in options)
                others = ", ".join(f"{n} {tuple(v.shape)}" for n, v, _ in rows if n != name)
                raise ShapeError(
                    f"{where}: {name} has the shape {tuple(value.shape)}, which is not {expected} with "
                    f"B = {sizes[0]}, R = {sizes[1]}" + (f" beside {others}." if others else ".")
                )
