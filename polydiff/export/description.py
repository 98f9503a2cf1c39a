"""The description of an exported network, model.json: its inputs, and the steps of the run's sampler.

inputs       name -> axes (a number, or the name of a size that can be any), type, meaning, value of "not given"
sampling     noise levels; rows x <- A x + sum_j B_j m_j + C xi with m_0 = P D(x, at) + Q x, newest m first
             (`polydiff.gaussian.sampling.plan`); guidance
values       what the domain's part of the program reads, such as the numbers that undo normalisation
"""

from __future__ import annotations

from typing import Any

from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.conditions import ESTIMATE, Classes, Number, Text
from polydiff.export.deploys import HasProgram
from polydiff.export.network import Exported
from polydiff.gaussian.process.plan import plan_of
from polydiff.gaussian.sampling.plan import PlanRow, Row, Solve
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

FORMAT = 1
"""Version of the description."""
X = "noisy states x_0 + sigma * noise, with standard normal noise"
SIGMA = "noise level of each sample"
SPACE = "describes the space of the states, as states.py draws it"


def describe(exported: Exported, how: SampleConfig) -> dict[str, Any]:
    """Return the description as JSON.

    Arguments:
        exported: The network.
        how: How samples are drawn.
    """
    model, (x, _, _) = exported.model, exported.example
    schedule, domain = model.denoiser.schedule, model.domain
    return {
        "format": FORMAT,
        **model.facts,
        "inputs": inputs(exported),
        "output": {"estimate": {"axes": exported.axes("x"), "dtype": "float32", "meaning": "estimate of x_0"}},
        "shape": list(x.shape[2:] if exported.blank[1] else x.shape[1:]),
        "sigma_range": [schedule.sigma_min, schedule.sigma_max],
        "sampling": sampling(exported, how),
        "values": dict(domain.exported_program()[1]) if provides(domain, HasProgram) else {},
    }


def inputs(exported: Exported) -> dict[str, Any]:
    """Return name -> axes, type and meaning of the network's inputs, in their order."""
    x, sigma, further = exported.example
    found = {}
    for name, value in {"x": x, "sigma": sigma, **further}.items():
        about: dict[str, Any] = {"axes": exported.axes(name), "dtype": str(value.dtype).removeprefix("torch.")}
        kind = exported.kinds.get(name)
        if kind is None:
            about["meaning"] = {"x": X, "sigma": SIGMA}.get(name, SPACE)
        else:
            real = value.dtype.is_floating_point
            about |= {"meaning": meaning(name, kind), "not_given": None if real else int(kind.missing)}
            about["condition"] = not name.startswith("_")
        found[name] = about
    return found


def meaning(name: str, kind: Any) -> str:
    """Return the meaning of a condition in words."""
    match kind:
        case Classes():
            return f"class, 0 to {kind.count - 1}; -1: not given"
        case Text():
            return f"numbers of tokens, 0 to {kind.size - 1}; -1 beyond the end"
        case Number():
            return "number, standardised; NaN: not given"
    if name == ESTIMATE:
        return "estimate of the step before; NaN: there is none"
    return f"{kind.words}; NaN: not given"


def sampling(exported: Exported, how: SampleConfig) -> dict[str, Any]:
    """Return the sampler's steps and the guidance.

    Raises:
        UserError: They cannot be written as rows of numbers.
    """
    if how.sampler == "shortcut":
        raise UserError("The sampler shortcut tells the network its step size. Export with --sampler ddim.")
    conditioned = any(about.get("condition") for about in inputs(exported).values())
    if (
        conditioned
        and how.guidance != 1
        and (how.guidance_method != "cfg" or how.guidance_options or how.guide or how.negative)
    ):
        raise UserError(
            "The exported program has the guidance cfg without options. Export with --guidance 1, or "
            "--guidance-method cfg."
        )
    plan = plan_of(exported.model, how)
    return {
        "sampler": how.sampler,
        "steps": how.steps,
        "levels": list(plan.levels),
        "rows": [row_json(row, how) for row in plan.rows],
        "guidance": {"scale": how.guidance, "interval": how.guidance_interval} if conditioned else None,
    }


def row_json(row: PlanRow, how: SampleConfig) -> dict[str, Any]:
    """Return one step of a sampler."""
    if isinstance(row, Solve):
        raise UserError(
            f"The sampler {how.sampler} chooses its steps as it goes. Export with --sampler heun or dpmpp_2m."
        )
    if isinstance(row, Row) and row.C_large is not None:
        raise UserError("The variance of steps is learned, which is not exported. Export with --option variance=large.")
    found = {name: value for name, value in row._asdict().items() if name != "C_large"}
    return {"at": None, "B": [], "P": 0.0, "Q": 0.0, **found}
