"""Evaluation: a domain's judges on generated samples, beside real data (the ceiling) and noise (the floor)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from polydiff.files import write_atomic
from polydiff.model import Model
from polydiff.run import Run


def evaluate(model: Model, n: int, *, seed: int = 0, **sampling: Any) -> dict[str, Any]:
    """Judge n samples and return plain numbers, as `polydiff eval --json` prints them.

    The same judges see n samples, up to n real held-out examples and n draws of noise, so that each number stands
    between what real data and noise get.

    Arguments:
        model: What to judge.
        n: Number of samples.
        seed: Of the samples.
        sampling: steps, sampler, guidance, batch_size, cond, as in `Model.sample`.
    """
    cond = sampling.pop("cond", None)
    plan = model.plan(**sampling)
    rows = {
        "value": model.domain.evaluate(model.sample(n, seed=seed, cond=cond, **sampling)),
        "data": model.domain.evaluate(model.domain.examples("test", n)),
        "noise": model.domain.evaluate(model.noise(n, seed=seed)),
    }
    metrics = {
        name: {
            **{row: finite(judged[name].value) for row, judged in rows.items()},
            "unit": metric.unit,
            "better": metric.better,
            "meaning": metric.meaning,
        }
        for name, metric in rows["value"].items()
    }
    return {
        "domain": model.config.domain,
        "step": model.step,
        "weights": model.weights,
        "n": n,
        "n_data": min(n, model.domain.size("test")),
        "seed": seed,
        "cond": dict(cond or {}),
        "sampler": plan.sampler,
        "steps": plan.steps,
        "evaluations": model.evaluations(plan),
        "guidance": plan.guidance,
        "metrics": metrics,
    }


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: None for one that has no meaning."""
    return float(value) if math.isfinite(value) else None


def write_evaluation(run: Path, result: dict[str, Any]) -> Path:
    """Keep an evaluation in the run's folder, where the report finds it."""
    path = Run.open(run).evaluation
    write_atomic(path, json.dumps(result, indent=1) + "\n")
    return path
