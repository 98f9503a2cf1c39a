"""The verb that writes data sets of samples and judges them: `augment`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydiff.cli.options import plan_options, read_conditions, sampling_parser
from polydiff.cli.parsing import positive
from polydiff.cli.printing.augmentation import judged_table
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.names import MANIFEST
from polydiff.gallery.progress import DrawingProgress
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError
from polydiff.support.files import new_folder
from polydiff.support.signals import exit_code

if TYPE_CHECKING:
    from polydiff.model.model import Model


def augment(words: Sequence[str]) -> int:
    """Run `polydiff augment` and return its exit code. Ctrl-C and SIGTERM keep the finished samples."""
    args = read_augment(words)
    from polydiff.augmenting.augment import able
    from polydiff.augmenting.judge import Generated, check, judge
    from polydiff.augmenting.results import FILE, entries, save
    from polydiff.model.model import Model

    runs = {name: Model.load(run, weights=args.weights, ema=args.ema) for name, run in named(args.runs).items()}
    for model in runs.values():
        able(model)
    if args.judge:
        check(args.judge, list(runs.items()))
        entries(args.output / FILE)  # raises if it is something else
    folders = folders_for(args.output, list(runs))
    try:
        for (name, model), run in zip(runs.items(), args.runs, strict=True):
            write(args, model, run, folders[name])
    except KeyboardInterrupt as error:
        again = shlex.join(["polydiff", "augment", *words])
        print(f"\nStopped; the finished samples are saved. Resume with: {again}", file=sys.stderr)
        return exit_code(error)
    if args.judge:
        found = judge(args.judge, [Generated(name, model, folders[name]) for name, model in runs.items()])
        save(args.output / FILE, found)
        judged_table(found)
    print(args.output)
    return 0


def read_augment(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of `polydiff augment`; `runs` lists the runs, and `run` is the first one."""
    parser = sampling_parser(
        "augment",
        "Write a data set of samples to train on, without near copies of training examples, and judge whether a "
        "small model learns more with it.",
        n=None,
        run_nargs="+",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True,
        help="folder of the data set; of several runs, the folder of a folder for each",
    )  # fmt: skip
    parser.add_argument(
        "--per-class", metavar="N", type=positive, required=True,
        help="number of samples of each class, or of all if there are no classes",
    )  # fmt: skip
    parser.add_argument("--mix", action="store_true", help="add the training examples of the run")
    parser.add_argument(
        "--judge", metavar="K,...", default="",
        help="train small models on K real examples of each class, or in all if there are no classes, without and with "
        "the samples, and print what they learn; needs a run with data.per_class of at most K for each",
    )  # fmt: skip
    args = parser.read(words)
    args.runs, args.run = args.run, args.run[0]
    args.judge = read_numbers(args.judge)
    for run in args.runs:
        if is_pipeline(run):
            raise UserError(f"{run} is a pipeline. Name one of its runs, a folder in {run / 'stages'}.")
    return args


def read_numbers(text: str) -> list[int]:
    """Return the numbers of --judge, ascending; [] if it is not given."""
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--judge {text} should be numbers of real examples, such as 5,20,80.")
    return sorted({int(part) for part in parts})


def named(runs: Sequence[Path]) -> dict[str, Path]:
    """Return the runs by the names of their folders; raise UserError if two have the same."""
    found: dict[str, Path] = {}
    for run in runs:
        if (other := found.setdefault(run.resolve().name, run)) is not run:
            raise UserError(f"{other} and {run} have the same name, but their data sets need folders of their own.")
    return found


def folders_for(output: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the folder of the data set of each run; raise UserError if those of several would be within another."""
    if len(names) == 1:
        return {names[0]: output}
    if any((output / file).exists() for file in (MANIFEST, JOURNAL)):
        raise UserError(f"{output} is a data set, and cannot hold those of several runs as well. Choose another -o.")
    return {name: output / name for name in names}


def write(args: argparse.Namespace, model: Model, run: Path, folder: Path) -> None:
    """Write the data set of a run, with progress."""
    from polydiff.augmenting.augment import augment

    how = {"mix": args.mix, "seed": args.seed, "cond": read_conditions(args), **plan_options(args)}
    with new_folder(folder), DrawingProgress() as progress:
        augment(model, folder, args.per_class, facts={"run": str(run)}, progress=progress, **how)
