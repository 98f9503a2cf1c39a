"""`polydiff sample RUN --given PART`: parts of examples that are given, while the others are sampled."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from polydiff.cli.edit import write_edited
from polydiff.cli.inputs import Given
from polydiff.cli.options import check_free, plan_options
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.core.space import Batch


def sample_given(args: argparse.Namespace, cond: Mapping[str, str]) -> None:
    """Sample the other parts of examples whose parts `args.parts` are given, and print the folder of the results."""
    check_free(args.output)
    if is_pipeline(args.run):
        raise UserError(f"--given: {args.run} is a pipeline. Name one of its runs, a folder in {args.run / 'stages'}.")
    if args.one_file:
        raise UserError("--one-file: with --given, given and sampled examples are written as files of their own.")
    from polydiff.model.given import request_given
    from polydiff.model.given import sample_given as draw
    from polydiff.model.model import Model

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
            f"{args.files[0]}: samples are drawn from noise. Say which part of it is given, by --given PART."
        )
    if args.each > 1 or args.first is not None:
        raise UserError("--each and --first concern given examples. Name the part of them: --given PART.")
