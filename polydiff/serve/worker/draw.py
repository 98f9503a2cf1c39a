"""In the worker: jobs, from the checked request to files in a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polydiff.contract.domain import Domain, Samples
from polydiff.core.streams import streams
from polydiff.gallery.names import FILM
from polydiff.model.edit import inpaint, interpolate, of_examples, vary
from polydiff.model.model import Model
from polydiff.model.origin import ModelOrigin, drawn
from polydiff.model.parts.known import kept, white_in
from polydiff.model.trace import trace
from polydiff.pipeline.chain import Chain
from polydiff.serve.limits import Limits
from polydiff.serve.worker.examples import example
from polydiff.serve.worker.meter import Meter, check_steps
from polydiff.serve.worker.restore import restored, solved
from polydiff.support.errors import UserError

GIVEN = "given"
"""Name, without its suffix, of the file with what a restoration started from."""


def perform(job: Mapping[str, Any], model: Model | Chain, folder: Path, meter: Meter, limits: Limits) -> str:
    """Compute a job and write its files to a new folder.

    Arguments:
        job: A request of `polydiff.serve.schema`, whose sources and masks are paths.
        model: What draws.
        folder: The folder.
        meter: Is called before each call of a network.
        limits: The server's.

    Returns:
        Name of the file with what a restoration started from; "": none.

    Raises:
        UserError: A condition, a name, a value or a file is wrong.
        Stopped: The job should stop.
    """
    match job["kind"]:
        case "film":
            write_film(job, as_run(model, "show the way to a sample"), folder, meter, limits)
            return ""
        case "solve" | "restore" as kind:
            compute = {"solve": solved, "restore": restored}[kind]
            samples, given = compute(job, one := as_run(model, kind), meter, limits)
            samples.save(folder)
            return write_one(one.domain, given, folder, GIVEN)
        case kind:
            draw = {"sample": sampled, "vary": varied, "inpaint": inpainted, "interpolate": interpolated}[kind]
            samples = draw(job, model, meter, limits)
            meter.report(0.99)
            samples.save(folder)
            return ""


def as_run(model: Model | Chain, verb: str) -> Model:
    """Return the model of a run; raise UserError for a pipeline."""
    if isinstance(model, Chain):
        raise UserError(f"This model is a pipeline of several stages, which cannot {verb}. Serve one of its stages.")
    return model


def sampled(job: Mapping[str, Any], model: Model | Chain, meter: Meter, limits: Limits) -> Samples:
    """Return new samples, the same as `polydiff sample` draws."""
    stages = {"stages": job["stages"]} if isinstance(model, Chain) else {}
    request = model.request(job["cond"], **stages, **job["sampling"])
    if isinstance(model, Model):
        check_steps(model.plan(**job["sampling"]).steps, limits)
    n = job["n"]
    meter.plan(request.evaluations(), math.ceil(n / request.batch_size), limits)
    return Samples.join(list(request.samples(range(n), job["seed"])))


def varied(job: Mapping[str, Any], model: Model | Chain, meter: Meter, limits: Limits) -> Samples:
    """Return variations of one example."""
    one = model.varied if isinstance(model, Chain) else model
    how, n = one.plan(**job["sampling"]), job["n"]
    check_steps(how.steps, limits)
    size = one.batch_size(how)
    meter.plan(one.evaluations(how), math.ceil(n / size), limits)
    parts = []
    for first in range(0, n, size):
        given = example(one, job["source"], min(size, n - first))
        further = {"strength": job["strength"], "seed": job["seed"], "cond": job["cond"], **job["sampling"]}
        parts.append(vary(one, given, first=first, **further))
    return Samples.join(parts)


def inpainted(job: Mapping[str, Any], model: Model | Chain, meter: Meter, limits: Limits) -> Samples:
    """Return an example whose parts are generated again."""
    one = as_run(model, "inpaint")
    source, how, n = of_examples(one), one.plan(**job["sampling"]), job["n"]
    check_steps(how.steps, limits)
    size = one.batch_size(how)
    meter.plan(one.evaluations(how), math.ceil(n / size), limits, job["resample"])
    path = Path(job["source"])
    white = white_in(source, Path(job["mask"]), [path]) if job["mask"] else None
    parts = []
    for first in range(0, n, size):
        given = example(source, path, min(size, n - first))
        generators = streams(job["seed"], "grown", range(first, first + given.space.batch))
        whole, known = kept(source, given, job["gap"], job["keep"], job["add"], generators, white)
        further = {"resample": job["resample"], "seed": job["seed"], "cond": job["cond"], **job["sampling"]}
        parts.append(inpaint(one, whole, known, first=first, **further))
    return Samples.join(parts)


def interpolated(job: Mapping[str, Any], model: Model | Chain, meter: Meter, limits: Limits) -> Samples:
    """Return examples between two."""
    one, shares = as_run(model, "interpolate"), job["shares"]
    check_steps(job["steps"], limits)
    meter.plan(2 * job["steps"], 2 + len(shares), limits)
    a, b = (example(one, job[name], 1) for name in ("a", "b"))
    made = interpolate(one, a, b, shares, steps=job["steps"], cond=job["cond"], seed=job["seed"])
    how = one.plan(guidance=1.0, sampler="heun", steps=job["steps"])  # as `interpolate` goes there and back
    facts = {**drawn(one, how, job["seed"], job["cond"]).facts, "shares": shares}
    return replace(Samples.join(made), origin=ModelOrigin(one.domain, facts))


def write_film(job: Mapping[str, Any], model: Model, folder: Path, meter: Meter, limits: Limits) -> None:
    """Write the states on the way to one sample, the estimates at each, and `FILM`."""
    request = model.request(job["cond"], **job["sampling"])
    check_steps(request.how.steps, limits)
    meter.plan(request.evaluations(), 1, limits)
    number = job["sample"]
    scenes = trace(request, [number], job["seed"], job["frames"])
    if not scenes:
        raise UserError(f"The sampler {request.how.sampler} does not show its way. Choose another one.")
    folder.mkdir()
    frames: list[dict[str, Any]] = []
    for i, scene in enumerate(scenes):
        files = {
            name: write_one(model.domain, samples, folder, f"{name}-{i:03d}")
            for name, samples in (("state", scene.state), ("estimate", scene.estimate))
        }
        frames.append({"level": scene.level, **files})
    facts = dict(drawn(model, request.how, job["seed"], job["cond"], sample=number).facts)
    (folder / FILM).write_text(json.dumps({"facts": facts, "frames": frames}), encoding="utf-8")


def write_one(domain: Domain, samples: Samples, folder: Path, name: str) -> str:
    """Write one example to a folder, and return the name of its file, `name` with the domain's suffix."""
    inside = folder / name
    (entry,) = domain.save(samples, inside)
    path = inside / entry["file"]
    made = folder / f"{name}{path.suffix}"
    path.rename(made)
    inside.rmdir()
    return made.name
