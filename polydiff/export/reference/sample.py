"""Draw samples with the network beside this file: numpy and onnxruntime alone.

python sample.py -n 16 -o samples --cond label=7 --guidance 2

model.json describes the network and the steps of the sampler, inputs.py reads the arguments and makes conditions, and
states.py writes files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HERE = Path(__file__).resolve().parent
Run = Callable[[dict[str, Array]], Array]


def estimate(run: Run, spec: dict[str, Any], x: Array, level: float, given: dict[str, Array]) -> Array:
    """Return the guided estimate of the clean states.

    Arguments:
        run: The network: inputs by name -> estimate.
        spec: model.json.
        x: Noisy states, (B, ...).
        level: Their noise level.
        given: Conditions and other inputs, by name.
    """
    feed = {**given, "x": x.astype(np.float32), "sigma": np.full(len(x), level, np.float32)}
    strong = run(feed)
    guidance = spec["sampling"]["guidance"]
    low, high = (guidance or {}).get("interval") or (0.0, np.inf)
    if not guidance or guidance["scale"] == 1 or not low <= level <= high:
        return strong
    without = {
        name: np.full_like(feed[name], np.nan if about["not_given"] is None else about["not_given"])
        for name, about in spec["inputs"].items()
        if about.get("condition")
    }
    weak = run({**feed, **without})
    guided: Array = weak + guidance["scale"] * (strong - weak)
    return guided


def sample(run: Run, spec: dict[str, Any], noise: Callable[[], Array], given: dict[str, Array]) -> Array:
    """Return clean states, (B, ...).

    Arguments:
        run: The network: inputs by name -> estimate.
        spec: model.json.
        noise: Returns new standard normal noise, (B, ...).
        given: Conditions and other inputs, by name.
    """
    x: Array = spec["sampling"]["levels"][0] * noise()
    slopes: list[Array] = []
    if "_estimate" in spec["inputs"]:
        given = {**given, "_estimate": np.full_like(x, np.nan, np.float32)}
    for row in spec["sampling"]["rows"]:
        if row["at"] is not None:
            clean = estimate(run, spec, x, row["at"], given)
            slopes = [row["P"] * clean + row["Q"] * x, *slopes][:8]
            if "_estimate" in given:
                given = {**given, "_estimate": clean.astype(np.float32)}
        x = row["A"] * x + sum(b * slope for b, slope in zip(row["B"], slopes, strict=False))
        x = x + row["C"] * noise() if row["C"] else x
    return x


def drawn(
    spec: dict[str, Any], n: int, wanted: dict[str, str], rng: np.random.Generator
) -> tuple[tuple[int, ...], dict[str, Array]]:
    """Return the shape of n states, all of one size, and no further inputs; `draw` of states.py replaces it."""
    return (n, *spec["shape"]), {}


def normal(shape: tuple[int, ...], given: dict[str, Array], rng: np.random.Generator) -> Array:
    """Return standard normal noise, float32; `noise` of states.py replaces it."""
    return rng.standard_normal(shape, np.float32)


def main() -> None:
    """Read the arguments, draw samples and write them."""
    import inputs

    try:
        import onnxruntime
        import states
    except ModuleNotFoundError as error:
        inputs.fail(
            f"The module {error.name} is missing. Install what the first lines of sample.py and states.py name."
        )
    spec = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    args = inputs.arguments(spec)
    rng, wanted = np.random.default_rng(args.seed), dict(args.cond)
    shape, given = getattr(states, "draw", drawn)(spec, args.n, wanted, rng)
    given |= inputs.conditions(spec, args.n, wanted, given, rng)
    inputs.check_used(spec, wanted, given)
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=onnxruntime.get_available_providers())
    noise = getattr(states, "noise", normal)
    x = sample(lambda feed: session.run(None, feed)[0], spec, lambda: noise(shape, given, rng), given)
    args.output.mkdir(parents=True, exist_ok=True)
    for path in states.write(x, given, spec, args.output):
        print(path)


if __name__ == "__main__":
    main()
