"""What the terminal shows: tables, progress, help on keys. Results go to stdout, progress to stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polydiff.config.merge import Settings
from polydiff.report.numbers import figures, with_error
from polydiff.support.progress import LINE_SECONDS, Bar, clock
from polydiff.support.yaml_text import one_line_yaml

if TYPE_CHECKING:
    from polydiff.training.loop import Record

NAMES = {int: "int", float: "number", str: "text", bool: "true|false", NoneType: "none", dict: "{name: value}"}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
WIDE = 36
"""Width of the column of keys."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print rows under headings, those of the columns in `right` flush right."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    emit(grid)


def emit(grid: Table) -> None:
    """Print a table on stdout without spaces at the ends of lines."""
    console = Console(markup=False, highlight=False)
    with console.capture() as text:
        console.print(grid)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


def evaluation_table(result: Mapping[str, Any]) -> None:
    """Print an evaluation: each number beside what real data, noise and a baseline get, then what it means."""
    calls = (
        f"{result['steps']} steps ({result['evaluations']} evaluations)"
        if result["evaluations"]
        else "steps of its own"
    )
    how = f"{result['sampler']}, {calls}, seed {result['seed']}"
    print(f"{result['n']} samples at step {result['step']}, {result['weights']} weights, {how}")
    print(f"{versions_told(result)}\n")
    metrics = result["metrics"]
    parts = {"value": "samples", "baseline": "baseline", "data": "real data", "noise": "noise"}
    if not result.get("baseline"):
        del parts["baseline"]
    errors = {"value": "value_error", "baseline": "baseline_error"}  # with the others' a table would not fit a terminal
    rows = [
        (name, *(narrow(row.get(part), row.get(errors.get(part))) for part in parts), row["unit"], row["better"])
        for name, row in metrics.items()
    ]
    table(("metric", *parts.values(), "unit", "better"), rows, right=list(parts.values()))
    print()
    if "baseline" in parts:
        print(f"The baseline is {result['baseline']}.\n")
    sure = any(error in row for row in metrics.values() for error in errors.values())
    what = "standard error: what other samples of the same model would change; evaluation.json has those of all columns"
    legend = [("±", what)] if sure else []
    table(("how to read", ""), [*((name, row["meaning"]) for name, row in metrics.items()), *legend])


def versions_told(result: Mapping[str, Any]) -> str:
    """Return the versions with which an evaluation was made, in one line."""
    return ", ".join(f"{name} {version}" for name, version in result["environment"]["versions"].items())


def likelihood_table(result: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    """Print bounds on -log p of test examples: nats an example and a dimension, bits where data are discrete."""
    found = result["likelihood"]
    unit = f"density in {result['unit']}" if result["unit"] else "all numbers discrete"
    print(
        f"-log p of {result['n']} of {result['n_test']} test examples at step {result['step']}, {result['weights']} "
        f"weights, seed {result['seed']}; {result['dimensions']:.4g} dimensions on average, {unit}\n"
    )
    columns = ("bound", "nats", "nats/dim", "bits/dim", "evaluations")
    rows = [
        (
            kind,
            with_error(row["nats"], row["nats_error"], digits=2),
            with_error(row["nats_per_dim"], row["nats_per_dim_error"], digits=2),
            with_error(row["bits_per_dim"], row["bits_per_dim_error"], digits=2),
            f"{row['evaluations']:.0f}",
        )
        for kind, row in found.items()
    ]
    table(columns, rows, right=columns[1:])
    print()
    parts = {kind: [(name, v) for name, v in row["parts"].items() if abs(v) > 1e-9] for kind, row in found.items()}
    table(("made of", "nats"), [(k, ", ".join(f"{name} {figures(v)}" for name, v in of)) for k, of in parts.items()])
    print()
    table(("how to read", ""), [*meanings.items(), ("±", "standard error of the mean over the examples")])


def narrow(value: Any, error: Any) -> str:
    """Return a number and its error in few characters, so that a table fits a terminal."""
    return with_error(value, error).replace(" ", "")


def help_on_keys(settings: Settings) -> None:
    """Print every key of a configuration: its value as it stands, its type, what it means."""
    print(f"\nKeys of {settings.config.domain}, as key=value or --key value, with their values as they stand:")
    for doc, rows in key_sections(settings.config):
        print(f"\n{doc}")
        grid = Table.grid(padding=(0, 2, 0, 2))
        grid.add_column(width=WIDE, overflow="fold")
        grid.add_column()
        for assignment, words in rows:
            grid.add_row(Text(assignment), Text(words))
        emit(grid)


def key_sections(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield (what a section is, [(key=value, type and meaning), ...]) of a section and of those in it."""
    plain = section.model_dump(mode="json")
    fields = type(section).model_fields
    inner = {name: value for name in fields if isinstance(value := getattr(section, name), BaseModel)}
    own = [name for name in fields if name not in inner]
    doc = " ".join((type(section).__doc__ or "").split("\n\n")[0].split())
    words = [f"{prefix}{name}={one_line_yaml(plain[name])}" for name in own]
    meanings = [f"{meaning(type(section), name)} {type_name(fields[name])}".strip() for name in own]
    yield doc, list(zip(words, meanings, strict=True))
    for name, value in inner.items():
        yield from key_sections(value, f"{prefix}{name}.")


def meaning(section: type[BaseModel], name: str) -> str:
    """Return a field's description, which a class that only changes the default has from the class it derives."""
    bases = (base for base in section.__mro__ if issubclass(base, BaseModel) and name in base.model_fields)
    return next((" ".join(text.split()) for base in bases if (text := base.model_fields[name].description)), "")


def type_name(field: FieldInfo) -> str:
    """Return a field's type and bounds in words."""
    bounds = [
        f"{sign}{getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
    return f"({' '.join([annotation_name(field.annotation), *bounds])})"


def annotation_name(annotation: Any) -> str:
    """Return a type in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return "|".join(annotation_name(part) for part in parts)
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin in (tuple, list):
        inner = [annotation_name(part) for part in parts if part is not Ellipsis]
        return f"[{', '.join(inner)}{', ...' if Ellipsis in parts or origin is list else ''}]"
    if origin is not None and origin not in NAMES:  # Annotated
        return annotation_name(parts[0])
    return NAMES.get(origin or annotation, getattr(annotation, "__name__", str(annotation)).lower())


class TrainingProgress(Bar):
    """Progress of training. Called after each step.

    Arguments:
        steps: Steps of the whole run.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seen = 0
        self._mean = math.nan

    def __call__(self, record: Record, seconds: float) -> None:
        """Show a step."""
        self.seen += 1
        weight = max(0.02, 1 / self.seen)
        self._mean = record.loss if self.seen == 1 else self._mean + weight * (record.loss - self._mean)
        now = time.monotonic()
        speed = self.seen / max(now - self._started, 1e-9)
        text = f"loss {self._mean:.4f}  {speed:.1f} steps/s"
        if self._task is None:
            self._task = self._bar.add_task(text, total=self.steps, completed=record.step)
        self._bar.update(self._task, completed=record.step, description=text)
        if self._bar.disable and (now - self._printed > LINE_SECONDS or self.seen == 1 or record.step == self.steps):
            self._printed = now
            left = (
                f"  {clock((self.steps - record.step) / speed)} left" if self.seen > 1 else ""
            )  # the first step is slow
            self._console.print(f"step {record.step}/{self.steps}  {text}{left}", soft_wrap=True)
