"""The verb that draws new samples: `sample`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from polydiff.cli.edit import write_edited
from polydiff.cli.inputs import Given, given_arguments
from polydiff.cli.options import check_free, plan_options, read_conditions, run_folder, sampling_parser, stage_options
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.progress import DrawingProgress
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError
from polydiff.support.files import new_folder, new_numbered_folder, quoted
from polydiff.support.signals import exit_code

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.core.space import Batch

SAMPLES = 16
"""Number of samples that are drawn if none is given."""


def sample(words: Sequence[str]) -> int:
    """Run `polydiff sample` and return its exit code. Ctrl-C and SIGTERM keep the finished samples."""
    parser = sampling_parser(
        "sample", "Draw samples from a run or pipeline. Writes them as files, with manifest.json.", n=SAMPLES
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="output folder; default: RUN/samples/generated-001, ..."
    )
    parser.add_argument(
        "--one-file", action="store_true",
        help="write one file: samples.npz for images and audio, samples.sdf for molecules",
    )  # fmt: skip
    given_arguments(parser, "with --given: ")
    parser.add_argument(
        "--given", metavar="PART", dest="parts", action="append", default=[],
        help="part of examples that is taken from files or held-out examples, such as bonds, while the others are "
        "sampled; repeatable",
    )  # fmt: skip
    args = parser.read(words)
    cond = read_conditions(args)
    if args.parts:
        sample_given(args, cond)
        return 0
    check_no_examples(args)
    n = args.n or SAMPLES
    if not (args.output and (args.output / JOURNAL).is_file()):
        check_free(args.output)
    from polydiff.gallery.writer import draw
    from polydiff.pipeline.chain import load

    model, sampling = load(args.run, weights=args.weights, ema=args.ema), plan_options(args) | stage_options(args)
    model.request(cond, **sampling)  # raises before a folder is made
    facts = {"run": str(args.run), **model.facts}
    drawn = run_folder(args.run) / "samples"
    for stopped in [] if args.output else sorted(drawn.glob(f"generated-*/{JOURNAL}")):
        print(f"{stopped.parent} is not complete. Resume it with -o {quoted(stopped.parent)}.", file=sys.stderr)
    how = {"seed": args.seed, "cond": cond, "one_file": args.one_file, "facts": facts, **sampling}
    place = nullcontext(args.output) if args.output else new_numbered_folder(drawn, "generated")
    with place as folder, new_folder(folder), DrawingProgress() as progress:
        try:
            draw(model, folder, n, progress=progress, **how)
        except KeyboardInterrupt as error:
            again = shlex.join(["polydiff", "sample", *words, *([] if args.output else ["-o", str(folder)])])
            print(f"\nStopped; {progress.done} of {n} samples are saved. Resume with: {again}", file=sys.stderr)
            return exit_code(error)
    print(folder)
    return 0


def sample_given(args: argparse.Namespace, cond: Mapping[str, str]) -> None:
    """Sample the other parts of examples whose parts `args.parts` are given, and print the folder of the results."""
    check_free(args.output)
    if is_pipeline(args.run):
        raise UserError(f"--given: {args.run} is a pipeline. Name one of its runs, a folder in {args.run / 'stages'}.")
    if args.one_file:
        raise UserError("--one-file: with --given, given and sampled examples are written as files of their own.")
    from polydiff.model.model import Model
    from polydiff.model.parts.given import request_given
    from polydiff.model.parts.given import sample_given as draw

    model, how = Model.load(args.run, weights=args.weights, ema=args.ema), plan_options(args)
    request_given(model, args.parts, how)  # raises before files are read

    def edit(given: Batch, first: int) -> Samples:
        return draw(model, given, args.parts, first=first, seed=args.seed, cond=cond, **how)

    metadata = {"seed": args.seed, "given": args.parts, "requested": cond}
    write_edited(args, model, "given", Given(model, args), edit, metadata)


def check_no_examples(args: argparse.Namespace) -> None:
    """Raise UserError if examples are named, and no part of them is to be given."""
    if args.files:
        raise UserError(
            f"{args.files[0]}: samples are drawn from noise. Name the part of it that is given: --given PART."
        )
    if args.each > 1 or args.first is not None:
        raise UserError("--each and --first concern given examples. Name the part of them: --given PART.")
