"""Draw samples with the network beside this file: numpy and onnxruntime alone.

python sample.py -n 16 -o samples --cond label=7 --guidance 2

model.json describes the network and the steps of the sampler, states.py draws sizes and writes files.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PUNCTUATION = ".,;:!?\"'`()[]{}<>…“”„‘’«»"
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


def conditions(
    spec: dict[str, Any], n: int, wanted: dict[str, str], given: dict[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Return the conditions of n samples: as wanted (NAME=any: not given), else drawn as in the training data.

    Arguments:
        spec: model.json.
        n: Number of samples.
        wanted: Name -> value as text; the names that are conditions are taken out.
        given: Inputs that there are already.
        rng: Draws what is not wanted.
    """
    found: dict[str, Array] = {}
    for name, field in spec["values"].get("conditions", {}).items():
        text = wanted.pop(name, None)
        if field["type"] == "classes":
            shares = np.array(field["counts"], float)
            names = [*field["names"], "any"]
            if text is not None and text not in names:
                raise SystemExit(f"{name}={text}: the classes are {', '.join(names)}.")
            label = -1 if text == "any" else names.index(text) if text else None
            drawn = rng.choice(len(shares), n, p=shares / shares.sum()) if label is None else np.full(n, label)
            found[name] = drawn.astype(np.int64)
        elif field["type"] == "real":
            number = np.nan if text in (None, "any") else float(text)
            values = rng.choice(field["values"], n) if text is None else np.full(n, number)
            found[name] = ((values - field["mean"]) / field["std"]).astype(np.float32)
        elif field["type"] == "text":
            texts = rng.choice(field["kept"], n).tolist() if text is None else ["" if text == "any" else text] * n
            rows = [(tokens(field, one) + [-1] * field["longest"])[: field["longest"]] for one in texts]
            found[name] = np.array(rows, np.int64)
    for name, about in spec["inputs"].items():
        if about.get("condition") and name not in {*found, *given}:  # such as an embedding: not given
            sizes = [1 if isinstance(axis, str) else axis for axis in about["axes"][1:]]
            missing = np.nan if about["not_given"] is None else about["not_given"]
            found[name] = np.full((n, *sizes), missing, about["dtype"])
    return found


def tokens(field: dict[str, Any], text: str) -> list[int]:
    """Return the numbers of the tokens of a text; a word that training lacks is 0."""
    if field["tokens"] == "words":
        places = {word: i for i, word in enumerate(field["vocabulary"], 1)}
        words = (word.strip(PUNCTUATION) for word in unicodedata.normalize("NFKC", text).casefold().split())
        return [places.get(word, 0) for word in words if word]
    if field["tokens"] == "bytes":
        return list(" ".join(unicodedata.normalize("NFC", text).split()).encode())
    raise SystemExit(f"This program reads no tokens of the kind {field['tokens']}.")


def main() -> None:
    """Read the arguments, draw samples and write them."""
    import onnxruntime
    from states import draw, noise, write

    spec = json.loads((HERE / "model.json").read_text())
    parser = argparse.ArgumentParser(description="Draw samples of an exported network.")
    parser.add_argument("-n", type=int, default=16, help="number of samples; default: 16")
    parser.add_argument("-o", "--output", type=Path, default=Path("samples"), help="folder; default: samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cond", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--guidance", type=float, help="scale of guidance; 1: none")
    args = parser.parse_args()
    if args.guidance is not None:
        spec["sampling"]["guidance"] = {**(spec["sampling"]["guidance"] or {}), "scale": args.guidance}
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=onnxruntime.get_available_providers())
    rng, wanted = np.random.default_rng(args.seed), dict(word.split("=", 1) for word in args.cond)
    shape, given = draw(spec, args.n, wanted, rng)
    given |= conditions(spec, args.n, wanted, given, rng)
    if wanted:
        raise SystemExit(f"Unknown condition {', '.join(wanted)}.")
    x = sample(lambda feed: session.run(None, feed)[0], spec, lambda: noise(shape, given, rng), given)
    args.output.mkdir(parents=True, exist_ok=True)
    for path in write(x, given, spec, args.output):
        print(path)


if __name__ == "__main__":
    main()
