"""Evaluation of a pipeline: its samples as those of a run, and each stage alone.

The whole is limited by its stages. A stage alone shows its own limit: an upsampler on true small images, a decoder on
true embeddings, an autoencoder on true examples, each beside its simple method where it has one.
"""

from __future__ import annotations

from typing import Any

from polydiff.core.streams import streams
from polydiff.judging import evaluate as run_evaluation
from polydiff.judging.evaluate import judged, new_samples
from polydiff.judging.result import sampling_facts
from polydiff.metrics.features import Extractor
from polydiff.model.model import Model, check_model
from polydiff.model.restore import Paired
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.request import ChainRequest, StageRequest, stage_seed
from polydiff.support.errors import UserError, check_type, check_whole
from polydiff.support.progress import showing

CONDITIONED = "samples conditioned on true examples"


def evaluate(
    model: Model | Chain,
    n: int,
    *,
    seed: int = 0,
    features: Extractor | None = None,
    progress: bool | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Judge n samples of a model or of a pipeline and return plain numbers, as `polydiff eval --json` prints them.

    The same judges see n samples, up to n real held-out examples and n draws of noise, so that each number stands
    between what real data and noise get. A model that was trained for restoration, such as upsampling, restores
    degraded held-out examples. It is judged by the distance to the originals, beside a simple baseline. Of a pipeline,
    "stages" holds the evaluation of each stage alone, and "stage_steps" the training steps of each.

    Arguments:
        model: What to judge.
        n: Number of samples; for a task at most as many as there are held-out examples.
        seed: Of the samples.
        features: A feature extractor of the user's own, for distances and overlap on its features.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
        sampling: steps, sampler, guidance, batch_size, cond, as in `Model.sample` and `Chain.sample`.
    """
    check_type("model", model, Model | Chain, "a model or a pipeline, as polydiff.load returns one")
    if features is not None:
        check_type("features", features, Extractor, "an Extractor, as polydiff.metrics.features.open_extractor returns")
    if sampling.get("pair") is not None:
        check_model(sampling["pair"], "pair")
    if not isinstance(model, Chain):
        return run_evaluation.evaluate(model, n, seed=seed, features=features, progress=progress, **sampling)
    check_whole("n", n)
    if sampling.pop("pair", None) is not None:
        raise UserError("A pair judges runs, not pipelines. Judge one stage with it, by the folder of its run.")
    cond = sampling.pop("cond", None)
    request = model.request(cond, **sampling)
    with showing(progress):
        how = {"evaluations": request.evaluations(), **request.section()}
        whole = judged(request, new_samples(request, n, seed, cond), n, seed, cond, how, features)
        steps = {name: facts["step"] for name, facts in model.facts["stages"].items()}
        return {**whole, "stage_steps": steps, "stages": each_alone(request, n, seed)}


def each_alone(request: ChainRequest, n: int, seed: int) -> dict[str, Any]:
    """Return the evaluation of each stage alone, name -> evaluation; a stage that is the whole is left out."""
    chain = request.model
    found = {name: run_evaluation.evaluate(model, n, seed=seed) for name, model in chain.others.items()}
    if len(request.parts) > 1:
        found |= {part.name: alone(part, n, stage_seed(seed, part.name)) for part in request.parts}
    return found


def alone(part: StageRequest, n: int, seed: int) -> dict[str, Any]:
    """Return the evaluation of a stage that generates, without the stages before it.

    Arguments:
        part: How the stage draws.
        n: Number of samples.
        seed: Seed of the stage.
    """
    model = part.model
    if model.restores or not part.follows:
        how = {key: value for key, value in part.request.how.model_dump().items() if key != "batch_size"}
        return run_evaluation.evaluate(model, n, seed=seed, **how)
    found = on_held_out(part, n, seed)
    return {**judged(part.request, found, n, seed, None, sampling_facts(part.request)), "what": CONDITIONED}


def on_held_out(part: StageRequest, n: int, seed: int) -> Paired:
    """Return samples of a stage under all conditions of held-out examples, beside real examples and noise."""
    domain = part.domain
    held = domain.size("test")
    n = min(n, held)
    indices = [i * held // n for i in range(n)]
    cond = domain.batch("test", indices, streams(0, "task", indices)).cond
    sets = {
        "value": part.request.under(cond).joined(range(n), seed),
        "data": domain.examples("test", n),
        "noise": part.model.noise(n, seed=seed),
    }
    return Paired(sets, {}, "")
