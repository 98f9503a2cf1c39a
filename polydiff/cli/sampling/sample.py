"""The verbs that draw new samples, `sample`, and fit the sampler that draws them, `calibrate`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.cli.edit import write_edited
from polydiff.cli.inputs import Given, given_arguments
from polydiff.cli.options import (
    check_free,
    guidance_options,
    guidance_parser,
    model_parser,
    plan_options,
    processes_option,
    read_conditions,
    run_folder,
    sampling_parser,
    stage_options,
)
from polydiff.cli.parsing import positive
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.progress import DrawingProgress
from polydiff.machine import torchrun
from polydiff.run.folder import check_own, is_pipeline
from polydiff.support.errors import UserError
from polydiff.support.files import new_folder, new_numbered_folder, quoted
from polydiff.support.signals import exit_code

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.core.space import Batch

SAMPLES = 16
"""Number of samples that are drawn if none is given."""
FITTED_STEPS = 8
"""Number of sampling steps that a sampler is fitted for if none is given."""


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
    processes_option(parser)
    args = parser.read(words)
    if torchrun.needed(args.processes):
        return torchrun.start(["sample", *words], args.processes)
    from polydiff.machine.ranks import joined

    with joined() as together:
        if args.parts and together.world > 1:
            raise UserError("--given: examples with a given part are made by one process. Leave --processes out.")
        return draw_samples(args, words) if together.first else help_to_draw(args)


def draw_samples(args: argparse.Namespace, words: Sequence[str]) -> int:
    """Draw samples, write them, print their folder and return the exit code."""
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
    how = {"seed": args.seed, "cond": cond, "one_file": args.one_file, "facts": facts, **sampling}
    with output_folder(args) as folder, DrawingProgress() as progress:
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


def help_to_draw(args: argparse.Namespace) -> int:
    """Draw this process's share of the samples, which the first process writes, and return the exit code."""
    from polydiff.gallery.writer import draw
    from polydiff.pipeline.chain import load

    model = load(args.run, weights=args.weights, ema=args.ema)
    how: dict[str, Any] = {"seed": args.seed, "cond": read_conditions(args), "one_file": args.one_file}
    draw(model, Path(), args.n or SAMPLES, **how, **plan_options(args), **stage_options(args))
    return 0


@contextmanager
def output_folder(args: argparse.Namespace) -> Iterator[Path]:
    """Yield the folder of the samples, that of -o or a new one of the run; it is removed if it stays empty."""
    if args.output:
        with new_folder(args.output):
            yield args.output
        return
    drawn = run_folder(args.run) / "samples"
    for stopped in sorted(drawn.glob(f"generated-*/{JOURNAL}")):
        print(f"{stopped.parent} is not complete. Resume it with -o {quoted(stopped.parent)}.", file=sys.stderr)
    with new_numbered_folder(drawn, "generated") as folder:
        yield folder


def calibrate(words: Sequence[str]) -> int:
    """Run `polydiff calibrate` and return its exit code."""
    parser = model_parser(
        "calibrate",
        "Fit noise levels and coefficients of the sampler to a run's network, for one number of steps and guidance. "
        "`polydiff sample RUN --steps S --sampler calibrated` uses them.",
    )
    parser.add_argument(
        "--steps", metavar="S", type=positive, default=FITTED_STEPS, help=f"number of steps; default: {FITTED_STEPS}"
    )
    parser.add_argument(
        "-n", metavar="N", type=positive, help="samples to fit on, and to judge on; default: 12 to 256, by their size"
    )
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--cond", metavar="NAME=VALUE", action="append", default=[], help="condition of these samples; repeatable"
    )
    guidance_parser(parser)
    args = parser.read(words)
    check_own(args.run)
    if is_pipeline(args.run):
        raise UserError(f"{args.run} is a pipeline. Calibrate one of its runs, a folder in {args.run / 'stages'}.")
    from polydiff.model.calibration.fit import calibrate as fit
    from polydiff.model.model import Model

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    options = {"steps": args.steps, "guidance": args.guidance, **guidance_options(args)}
    fitted = fit(model, cond=read_conditions(args), n=args.n, seed=args.seed, **options)
    path = fitted.save(run_folder(args.run))
    distance = f"the median relative distance of {fitted.samples} other samples from their solution is"
    if fitted.default:
        print(f"{fitted}: {distance} {fitted.error:.2g}. Nothing better was found, so the default sampler is kept.")
        return 0
    print(f"{fitted}: {distance} {fitted.error:.2g}, and {fitted.error_of_default:.2g} with the default sampler.")
    print(f"{path}\n\nNext:\n  {sampling_command(args, fitted.sampling['guidance'])}")
    return 0


def sampling_command(args: argparse.Namespace, guidance: float) -> str:
    """Return the command that samples with what was fitted: for the same weights, steps and guidance.

    Arguments:
        args: Options of `polydiff calibrate`.
        guidance: Guidance scale, which may be that of the run's configuration.
    """
    given = {
        "--weights": [args.weights] * (args.weights != "ema"),
        "--ema": [args.ema],
        "--guidance": [f"{guidance:.15g}"],
        "--guidance-method": [args.guidance_method],
        "--guidance-option": args.guidance_option,
        "--guidance-interval": [args.guidance_interval],
        "--guide": [args.guide],
        "--negative": args.negative,
    }
    words = [word for name, values in given.items() for value in values if value is not None for word in (name, value)]
    further = shlex.join(map(str, words))
    return f"polydiff sample {quoted(args.run)} --steps {args.steps} {further} --sampler calibrated"
