"""The arguments of sample.py, and the conditions of new samples. A wrong argument ends the program with one line."""

from __future__ import annotations

import argparse
import math
import unicodedata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ANY = "any"
"""Value of a condition that is not given."""
PUNCTUATION = ".,;:!?\"'`()[]{}<>…“”„‘’«»"


def fail(message: str) -> NoReturn:
    """End the program with a message and the exit code 2."""
    Parser("sample.py").error(message)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def arguments(spec: dict[str, Any]) -> argparse.Namespace:
    """Return the arguments of the command line: n, output, seed, cond (name -> text); the guidance goes to `spec`.

    Arguments:
        spec: model.json.
    """
    parser = Parser("sample.py", description="Draw samples of an exported network.", allow_abbrev=False)
    parser.add_argument("-n", type=positive, default=16, help="number of samples; default: 16")
    parser.add_argument(
        "-o", "--output", type=new_folder, default="samples", help="new or empty folder; default: samples"
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--cond", type=pair, action="append", default=[], metavar="NAME=VALUE", help="condition; any: none; repeatable"
    )
    parser.add_argument("--guidance", type=real, help="scale of guidance; 1: none")
    args = parser.parse_args()
    names = [name for name, _ in args.cond]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        parser.error(f"--cond {twice} is given twice.")
    if args.guidance is not None:
        if args.guidance != 1 and not any(about.get("condition") for about in spec["inputs"].values()):
            parser.error("--guidance: the network has no conditions to guide by.")
        spec["sampling"]["guidance"] = {**(spec["sampling"]["guidance"] or {}), "scale": args.guidance}
    return args


def whole(text: str, least: int) -> int:
    """Parse a whole number of at least `least`."""
    if not text.strip().lstrip("+-").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number.")
    if int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is below {least}.")
    return int(text)


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    return whole(text, 1)


def not_negative(text: str) -> int:
    """Parse a whole number of at least 0."""
    return whole(text, 0)


def real(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number.")
    return value


def pair(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE.")
    return name, value


def new_folder(text: str) -> Path:
    """Parse the path of a folder that does not exist or is empty."""
    path = Path(text)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise argparse.ArgumentTypeError(f"{text} exists and is not an empty folder. Choose another -o.")
    return path


def number(name: str, text: str) -> float:
    """Return a requested number, NaN for any."""
    try:
        return math.nan if text == ANY else real(text)
    except argparse.ArgumentTypeError:
        fail(f"{name}={text} should be a number, or {ANY}.")


def conditions(
    spec: dict[str, Any], n: int, wanted: dict[str, str], given: dict[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Return the conditions of n samples: as wanted (NAME=any: not given), else drawn as in the training data.

    With examples, what is not wanted is that of one training example with the wanted classes, if there is one.

    Arguments:
        spec: model.json.
        n: Number of samples.
        wanted: Name -> value as text; the names that are conditions are taken out.
        given: Inputs that there are already.
        rng: Draws what is not wanted.
    """
    found: dict[str, Array] = {}
    rows = examples(spec, n, wanted, rng)
    for name, field in spec["values"].get("conditions", {}).items():
        text = wanted.pop(name, None)
        own = [row[name] for row in rows] if text is None and rows and name in rows[0] else None
        if own is not None:
            found[name] = encoded(field, own)
        elif field["type"] == "classes":
            shares, names = np.array(field["counts"], float), [*field["names"], ANY]
            if text is not None and text not in names:
                fail(f"{name}={text}: the {len(shares)} classes are {listed(names[:-1])}; or {ANY}.")
            label = -1 if text == ANY else names.index(text) if text else None
            drawn = rng.choice(len(shares), n, p=shares / shares.sum()) if label is None else np.full(n, label)
            found[name] = drawn.astype(np.int64)
        elif field["type"] == "real":
            values = rng.choice(field["values"], n) if text is None else np.full(n, number(name, text))
            found[name] = ((values - field["mean"]) / field["std"]).astype(np.float32)
        elif field["type"] == "text":
            texts = rng.choice(field["kept"], n).tolist() if text is None else ["" if text == ANY else text] * n
            found[name] = encoded(field, texts)
    for name, about in spec["inputs"].items():
        if about.get("condition") and name not in {*found, *given}:  # such as an embedding: not given
            sizes = [1 if isinstance(axis, str) else axis for axis in about["axes"][1:]]
            missing = np.nan if about["not_given"] is None else about["not_given"]
            found[name] = np.full((n, *sizes), missing, about["dtype"])
    return found


def examples(spec: dict[str, Any], n: int, wanted: dict[str, str], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return the conditions of a training example for each of n samples, with the wanted classes; [] without any."""
    known = spec["values"].get("examples", {})
    if not known:
        return []
    fields = spec["values"]["conditions"]
    suit = np.ones(len(next(iter(known.values()))), bool)
    for name, text in wanted.items():
        if name in known and fields[name]["type"] == "classes" and text != ANY:
            same = suit & np.array([value == text for value in known[name]])
            suit = same if same.any() else suit
    places = rng.choice(np.flatnonzero(suit), n)
    return [{name: values[place] for name, values in known.items()} for place in places.tolist()]


def encoded(field: dict[str, Any], values: list[Any]) -> Array:
    """Return values of training examples, None if missing, as an input of the network."""
    if field["type"] == "classes":
        return np.array([-1 if value is None else field["names"].index(value) for value in values], np.int64)
    if field["type"] == "real":
        numbers = np.array([np.nan if value is None else value for value in values], float)
        standard: Array = ((numbers - field["mean"]) / field["std"]).astype(np.float32)
        return standard
    rows = [(tokens(field, text or "") + [-1] * field["longest"])[: field["longest"]] for text in values]
    return np.array(rows, np.int64)


def listed(names: list[str]) -> str:
    """Return names for a message, of many the first and the last."""
    return ", ".join(names if len(names) <= 20 else [*names[:10], "...", names[-1]])


def check_used(spec: dict[str, Any], wanted: dict[str, str], given: dict[str, Array]) -> None:
    """End the program if a name is wanted that is no condition, or one that needs more than words.

    Arguments:
        spec: model.json.
        wanted: Name -> value as text, without the names that were taken out.
        given: All inputs but the states.
    """
    for name in wanted:
        if spec["inputs"].get(name, {}).get("condition"):
            fail(f"{name}: this program makes no such input of words; call `sample` with arrays of your own.")
        known = listed([name for name in given if spec["inputs"].get(name, {}).get("condition")])
        fail(f"Unknown condition {name}. Known: {known or 'none'}.")


def tokens(field: dict[str, Any], text: str) -> list[int]:
    """Return the numbers of the tokens of a text; a word that training lacks is 0."""
    if field["tokens"] == "words":
        places = {word: i for i, word in enumerate(field["vocabulary"], 1)}
        words = (word.strip(PUNCTUATION) for word in unicodedata.normalize("NFKC", text).casefold().split())
        return [places.get(word, 0) for word in words if word]
    if field["tokens"] == "bytes":
        return list(" ".join(unicodedata.normalize("NFC", text).split()).encode())
    fail(f"This program reads no tokens of the kind {field['tokens']}.")
