"""The verbs of restoration, by models trained for it: `upsample` and `vocode`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from polydiff.cli.inputs import Given, given_parser, write_pairs
from polydiff.cli.options import check_free, plan_options
from polydiff.cli.parsing import Parser, read_conditions
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    import argparse

    from polydiff.contract.sections import Config
    from polydiff.core.space import Batch
    from polydiff.model.model import Model


def upsample(words: Sequence[str]) -> int:
    """Run `polydiff upsample` and return its exit code."""
    parser = given_parser("upsample", "Raise the sampling rate of audio, or the size of images.", "upsampled")
    parser.add_argument("--degrade", action="store_true", help="inputs have the full rate or size; degrade them first")
    parser.add_argument(
        "--no-keep",
        action="store_true",
        help="leave the known frequencies or means as the model predicts them",
    )
    return run_restoration("upsample", "upsampled", parser, words)


def vocode(words: Sequence[str]) -> int:
    """Run `polydiff vocode` and return its exit code."""
    parser = given_parser("vocode", "Generate audio from mel spectrograms: .mel.npz files, or audio files.", "vocoded")
    parser.set_defaults(degrade=False, no_keep=False)
    return run_restoration("vocode", "vocoded", parser, words)


class DegradedInputs(Given):
    """Degraded inputs: files of the degraded form, or held-out examples that are degraded first."""

    def __init__(self, model: Model, args: argparse.Namespace) -> None:
        self.degrade = bool(args.degrade)
        super().__init__(model, args)

    def take(self, numbers: Sequence[int]) -> Batch:
        from polydiff.model.restore import degrade_held_out

        return degrade_held_out(self.model, numbers)[0]

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return degraded files as a batch."""
        from polydiff.model.restore import read_degraded

        return read_degraded(self.model, paths, self.degrade)


def advice(config: Config, verb: str) -> str:
    """Return advice on how to train a model for this verb, if the domain has such a task."""
    domain = config.domain
    task = type(config).model_fields.get("task")
    if task is None or verb not in get_args(task.annotation):
        return f"The domain {domain} has no task={verb}."
    return f"`polydiff train --domain {domain} task={verb}` trains a model that can {verb}."


def run_restoration(verb: str, name: str, parser: Parser, words: Sequence[str]) -> int:
    """Restore degraded examples, write inputs and results, and print their folder; return the exit code.

    Arguments:
        verb: "upsample" or "vocode", which is also the task of the model.
        name: Name of the output folder without its number.
        parser: Parser of the verb.
        words: Words after the verb on the command line.

    Raises:
        UserError: The model was trained for another task.
    """
    args = parser.read(words)
    check_free(args.output)
    cond = read_conditions(args.cond)
    from polydiff.model.model import Model
    from polydiff.model.restore import has_restoration, restoration_of, restore, to_samples

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    trained = getattr(model.config, "task", "generate")
    if not has_restoration(model) or trained != verb:
        raise UserError(f"{args.run} was trained with task={trained}. {advice(model.config, verb)}")
    given, plan = DegradedInputs(model, args), model.plan(**plan_options(args))
    how = {"keep": not args.no_keep, "seed": args.seed, "cond": cond, **plan_options(args)}
    pairs = (
        (to_samples(model, batch.x, batch, batch.cond), restore(model, batch, first=first, **how))
        for first, batch in given.parts(model.batch_size(plan))
    )
    metadata = {"seed": args.seed, "asked": cond, "given": restoration_of(model)[1].simple}
    metadata |= plan.model_dump(mode="json", exclude={"batch_size"})
    n = len(given.numbers)
    print(write_pairs(args, model, name, pairs, (n, n), given.metadata(), metadata))
    return 0
