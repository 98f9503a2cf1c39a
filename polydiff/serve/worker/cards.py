"""In the worker: the models of a server, and what clients need to know of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import conditions_of
from polydiff.contract.editing import Grows, HasBlanks, HasMeasurements, HasRegions, Reads, ReadsMasks
from polydiff.contract.following import Fits, Scores
from polydiff.contract.likeness import Encodes
from polydiff.contract.measurements import ReadsMeasured
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.conditions import is_known
from polydiff.core.process.abilities import Inpaints, Interpolates, NamesSamplers, Solves, Varies
from polydiff.core.process.sampling import Traces
from polydiff.gallery.page import scripts_of
from polydiff.looking.views.guidance import guides
from polydiff.model.edit import of_examples
from polydiff.model.model import Model
from polydiff.model.solve import solving
from polydiff.model.user_conditions import has_residual_states
from polydiff.pipeline.chain import Chain, load
from polydiff.pipeline.conditions import shareable
from polydiff.pipeline.request import StageRequest
from polydiff.serve.worker.choices import Choice, choices
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def load_models(runs: Sequence[str], weights: str, ema: float | None) -> dict[str, Model | Chain]:
    """Return the models of runs and pipelines by the names of their folders; equal names get a number.

    Raises:
        UserError: One cannot be loaded, or generates nothing.
    """
    found: dict[str, Model | Chain] = {}
    for run in runs:
        model = load(run, weights=weights, ema=ema)
        try:
            model.request()
        except UserError as error:  # such as an autoencoder
            raise UserError(f"{run}: {error}") from error
        found[free_name(Path(run).resolve(), found)] = model
    return found


def free_name(path: Path, taken: Mapping[str, object]) -> str:
    """Return the name of a folder, or of a checkpoint with that of its run, with a number if it is taken."""
    name = f"{path.parents[1].name}-{path.name}" if path.parent.name == "checkpoints" else path.name
    numbered = (name, *(f"{name}-{i}" for i in range(2, len(taken) + 2)))
    return next(each for each in numbered if each not in taken)


def card(name: str, model: Model | Chain) -> dict[str, Any]:
    """Return what clients need to know of a model (`polydiff.serve.answers.ModelCard`), as JSON."""
    last = model.last if isinstance(model, Chain) else model
    domain, settable = last.domain, conditions(model)
    chain = model if isinstance(model, Chain) else None
    return {
        "name": name,
        "domain": last.config.domain,
        "about": about(last),
        "form": domain.form if provides(domain, Encodes) else "",
        "stages": stages(chain) if chain else [],
        "step": last.step,
        "weights": last.weights,
        "conditions": [asdict(one) for one in settable],
        "closed": closed(model, {one.name for one in settable}),
        "defaults": defaults(last.config.sample),
        "samplers": [] if chain else samplers(last),
        "guided": any(map(guided, chain.stages.values() if chain else [last])),
        "actions": pipeline_actions(chain) if chain else actions(last),
        "masks": provides(domain, ReadsMasks),
        "grows": provides(domain, Grows),
        **({} if chain else restorations(last)),
        "scripts": list(scripts_of(domain)),
    }


def conditions(model: Model | Chain) -> list[Choice]:
    """Return the conditions that users can set; of a pipeline those that any stage has, as the first one has them."""
    if isinstance(model, Model):
        return choices(model.domain)
    found: dict[str, Choice] = {}
    for stage in model.stages.values():
        shared = shareable(stage.domain)
        for one in choices(stage.domain):
            if one.name in shared:
                found.setdefault(one.name, one)
    return list(found.values())


def closed(model: Model | Chain, settable: Set[str]) -> list[str]:
    """Return the conditions that no request may set: a domain could take a text for one as the path of an array."""
    domains = [one.domain for one in (model.stages.values() if isinstance(model, Chain) else [model])]
    return sorted({name for domain in domains for name in conditions_of(domain)} - settable)


def samplers(model: Model) -> list[str]:
    """Return the samplers that work with a model, in alphabetical order; [] if the process lists none."""
    if not provides(model.process, NamesSamplers):
        return []
    return [name for name in model.process.sampler_names(model.config) if works(model, name)]


def works(model: Model, sampler: str) -> bool:
    """Return whether a plan can be made with a sampler and its own options."""
    try:
        model.plan(sampler=sampler)
    except UserError:
        return False
    return True


def guided(model: Model) -> bool:
    """Return whether guidance has an effect: training also showed the network examples without conditions."""
    return guides(model) and bool(shareable(model.domain)) and model.config.train.condition_dropout > 0


def about(model: Model) -> str:
    """Return the kind of network, its size and its process on one line."""
    size = sum(p.numel() for p in model.denoiser.parameters())
    return f"{model.config.backbone.name} with {size:,} weights, process {model.config.process}"


def defaults(how: SampleConfig) -> dict[str, Any]:
    """Return how a model draws if a request leaves it open."""
    return {"steps": how.steps, "sampler": how.sampler, "guidance": how.guidance}


def stages(chain: Chain) -> list[dict[str, Any]]:
    """Return what clients need to know of each stage that draws (`polydiff.serve.answers.Stage`), as JSON."""
    return [
        {
            "name": part.name,
            "about": about(part.model),
            "follows": part.follows,
            "defaults": defaults(part.request.how),
            "samplers": samplers(part.model),
            "guided": guided(part.model),
            **({"level": part.level, "levels": noise} if (noise := noise_of(part)) else {}),
            **({"of": part.of} if provides(part.domain, Scores) else {}),
        }
        for part in chain.request().parts
    ]


def noise_of(part: StageRequest) -> tuple[float, float] | None:
    """Return the least and greatest level of noise on what a stage follows; None: it was trained without."""
    config = part.model.config
    return config.input_noise if part.follows and provides(config, Fits) else None


def actions(model: Model) -> list[str]:
    """Return what can be done with a model."""
    process, found = model.process, ["restore"] * bool(restored_task(model))
    if has_residual_states(model):
        return found
    found = ["sample", *found]
    if provides(model.domain, Reads):
        found += ["vary"] * provides(process, Varies)
        found += ["inpaint"] * (provides(process, Inpaints) and has_parts(model))
        found += ["interpolate"] * provides(process, Interpolates)
        found += ["solve"] * bool(solvers(model))
    return found + ["film"] * provides(model.request().plan, Traces)


def restorations(model: Model) -> dict[str, Any]:
    """Return what a model can restore, and from what."""
    domain, methods = model.domain, solvers(model)
    return {
        "measurements": list(domain.measurements) if methods and provides(domain, HasMeasurements) else [],
        "solvers": methods,
        "measured": bool(methods) and provides(domain, ReadsMeasured),
        "task": restored_task(model),
    }


def solvers(model: Model) -> list[str]:
    """Return the methods by which a model solves inverse problems with measurements of its domain."""
    if not (provides(model.domain, HasMeasurements) and provides(model.process, Solves)):
        return []
    return [name for name in model.process.solvers if solved_by(model, name)]


def solved_by(model: Model, method: str) -> bool:
    """Return whether a method works with a model as configured."""
    try:
        solving(model, method, {}, {})
    except UserError:
        return False
    return True


def restored_task(model: Model) -> str:
    """Return the task of a model that restores examples from files of a degraded form; "" if it does not."""
    if not model.restores or all(map(is_known, task_conditions(model.domain))):
        return ""
    return str(getattr(model.config, "task", "restore"))


def has_parts(model: Model) -> bool:
    """Return whether parts of a model's examples can be named."""
    try:
        domain = of_examples(model).domain
    except UserError:  # its states are embeddings
        return False
    return provides(domain, Reads) and any(provides(domain, each) for each in (HasRegions, HasBlanks, Grows))


def pipeline_actions(chain: Chain) -> list[str]:
    """Return what can be done with a pipeline."""
    try:
        able = provides(chain.varied.domain, Reads) and provides(chain.varied.process, Varies)
    except UserError:  # its last stage follows another
        able = False
    return ["sample", *["vary"] * able]
