"""What trackers there are: specs, found by entry points in the group `polydiff.trackers`, as domains are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from polydiff.contract.discover import load, load_spec, require
from polydiff.contract.spec import API
from polydiff.support.errors import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class TrackerSpec:
    """A tracker's metadata, whose module imports nothing heavy.

    Arguments:
        name: Value of `track` that selects it; also the name of its entry point.
        summary: Description of one line.
        factory: "module:Class" of the tracker (`polydiff.tracking.tracker.Tracker`), called as factory(run, **options)
            with a `polydiff.tracking.tracker.Tracked` and the options in `track_options.NAME`.
        requires: Modules that it needs beyond polydiff's own dependencies.
        install: Command that installs missing modules.
        api: Version of the plugin interface.
    """

    kind: ClassVar[str] = "tracker"

    name: str
    summary: str
    factory: str
    requires: Sequence[str] = ()
    install: str = ""
    api: int = API


def built_in(name: str, summary: str, module: str, library: str) -> TrackerSpec:
    """Return the spec of a tracker of this package: the class `Tracking` of a module, which needs a library."""
    factory = f"polydiff.tracking.{module}:Tracking"
    install = f'pip install "polydiff[{name}]"'
    return TrackerSpec(name=name, summary=summary, factory=factory, requires=(library,), install=install)


TENSORBOARD = built_in("tensorboard", "Event files in the run's folder, for TensorBoard.", "event_files", "tensorboard")
WANDB = built_in("wandb", "A run of Weights & Biases.", "weights_and_biases", "wandb")
MLFLOW = built_in("mlflow", "A run of MLflow, on a server or in a database.", "mlflow_run", "mlflow")
TRACKIO = built_in("trackio", "A run of trackio, in local files or a Space.", "trackio_run", "trackio")


def check_trackers(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UserError unless these trackers exist, their modules are installed, and they take their options.

    Arguments:
        names: Names of trackers, from `track`.
        options: Name of a tracker -> its options, from `track_options`.
    """
    for name in options:
        if name not in names:
            raise UserError(f"track_options.{name} has no effect without track={','.join([*names, name])}.")
    for name in names:
        spec = load_spec(TrackerSpec, name)
        require(spec)
        known = options_of(spec)
        for option in options.get(name, {}):
            if known is not None and option not in known:
                raise unknown(f"option of the tracker {name}", option, known, f"It is track_options.{name}.{option}.")


def options_of(spec: TrackerSpec) -> list[str] | None:
    """Return the names of a tracker's options; None if it takes any."""
    arguments = list(inspect.signature(load(spec.factory)).parameters.values())[1:]
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
        return None
    return [argument.name for argument in arguments]
