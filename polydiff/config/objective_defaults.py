"""Defaults that an objective, a process, a value of `learn` or a codec brings with it: a layer below its source.

An objective lists them as `suits` (`polydiff.core.objective.Objective`), and so do a process and what `learn` names
(`polydiff.core.process.process.LEARNERS`), which also lists those of a diffusion in its codes, as `suits_codes`. Values
from the same source or a later one override them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.config.layers import Layer, last, without_keys
from polydiff.config.processes import DENOISE, register_built_in
from polydiff.contract.sections.base import OPTIONS_OF
from polydiff.contract.sections.training import LossConfig
from polydiff.support.nested import get_dotted
from polydiff.support.reading import parse_json, read_regular

USUAL_PROCESS = "gaussian"
"""Process of a configuration that names none."""


def objective_defaults(objective: str) -> Mapping[str, Any]:
    """Return the defaults of an objective, as dotted key -> value; {} for the default one and for an unknown name."""
    if objective == LossConfig().objective:
        return {}  # the registry of objectives imports torch, which most commands do not need
    from polydiff.gaussian.objective.base import OBJECTIVES

    return getattr(OBJECTIVES[objective], "suits", {}) if objective in OBJECTIVES else {}


def process_defaults(process: str) -> Mapping[str, Any]:
    """Return the defaults of a process, as dotted key -> value; {} for the default one and for an unknown name."""
    if process == USUAL_PROCESS:
        return {}
    from polydiff.core.process.process import PROCESSES

    register_built_in()
    return getattr(PROCESSES[process], "suits", {}) if process in PROCESSES else {}


def learner_defaults(learn: str) -> Mapping[str, Any]:
    """Return the defaults of a value of `learn`, as dotted key -> value; {} for denoise and for an unknown one."""
    if learn == DENOISE:
        return {}
    from polydiff.core.process.process import LEARNERS

    register_built_in()
    return getattr(LEARNERS[learn], "suits", {}) if learn in LEARNERS else {}


def codec_defaults(codec: str) -> Mapping[str, Any]:
    """Return the defaults of a diffusion in the codes of a run, as dotted key -> value.

    {} for the codes of an autoencoder, whose network follows from their shape, and for what is no run; that is an error
    when the run is opened.
    """
    if not codec:
        return {}
    learn = learned_by_run(Path(codec).expanduser())
    if learn == DENOISE:
        return {}
    from polydiff.core.process.process import LEARNERS

    register_built_in()
    return getattr(LEARNERS[learn], "suits_codes", {}) if learn in LEARNERS else {}


def learned_by_run(path: Path) -> str:
    """Return the value of `learn` of a run, or of the run of a checkpoint; `DENOISE` if it cannot be read."""
    try:
        folders = sorted((path / "checkpoints").glob("step-*"))
        state = parse_json(read_regular((folders[-1] if folders else path) / "state.json"))
        return str(state["config"]["learn"])
    except (OSError, ValueError, LookupError, TypeError):
        return DENOISE


class Choice(NamedTuple):
    """A key whose value brings defaults with it.

    Attributes:
        key: Dotted key.
        usual: Its value if no layer sets it.
        defaults: Value -> dotted keys and their defaults.
    """

    key: str
    usual: str
    defaults: Callable[[str], Mapping[str, Any]]


CHOICES = (
    Choice("loss.objective", LossConfig().objective, objective_defaults),
    Choice("codec", "", codec_defaults),
    Choice("process", USUAL_PROCESS, process_defaults),
)


def with_chosen_defaults(layers: Sequence[Layer], learns: Mapping[str, Mapping[str, Any]] | None = None) -> list[Layer]:
    """Return the layers with the defaults of each choice (`CHOICES`) inserted before the last layer that makes it.

    If that layer changes the choice of an earlier one, such as a run's config.resolved.yaml, the defaults of the old
    choice are removed from the earlier layers.

    Arguments:
        layers: The layers, the first one below all others.
        learns: Value of `learn` -> defaults of the domain, which replace general ones
            (`polydiff.contract.spec.DomainSpec`).
    """
    found, own = list(layers), learns or {}
    for choice in (*CHOICES, Choice("learn", DENOISE, lambda learn: {**learner_defaults(learn), **own.get(learn, {})})):
        found = with_defaults_of(choice, found)
    return found


def with_defaults_of(choice: Choice, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with the defaults of one choice inserted."""
    choosing = [i for i, layer in enumerate(layers) if get_dotted(layer.values, choice.key) is not None]
    if not choosing:
        return list(layers)
    before, rest = list(layers[: choosing[-1]]), layers[choosing[-1] :]
    value, old = (str(last(part, choice.key) or choice.usual) for part in (rest[:1], before))
    if old != value:
        before = [layer._replace(values=without_defaults(layer.values, choice.defaults(old))) for layer in before]
    return [*before, Layer(f"{choice.key.rpartition('.')[2]} {value}", choice.defaults(value)), *rest]


def without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a layer without those equal to these defaults, and without the options of these."""
    removed = [key for key, value in defaults.items() if get_dotted(values, key) == value]
    removed += [OPTIONS_OF[key] for key in removed if key in OPTIONS_OF]
    return without_keys(values, removed)
