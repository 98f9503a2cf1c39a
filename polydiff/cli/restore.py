"""The verbs of restoration: `upsample` and `vocode` by models trained for it, `solve` by any model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from polydiff.cli.inputs import Given, given_parser, write_pairs
from polydiff.cli.options import check_free, plan_options, read_conditions
from polydiff.cli.parsing import Parser, positive
from polydiff.cli.printing.tables import comparison_table
from polydiff.support.errors import UserError
from polydiff.support.files import json_number, write_atomic

if TYPE_CHECKING:
    import argparse

    from torch import Tensor

    from polydiff.contract.domain import Samples
    from polydiff.contract.sections.run import Config
    from polydiff.core.space import Batch
    from polydiff.metrics.results import Metric
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
    cond = read_conditions(args)
    from polydiff.model.model import Model
    from polydiff.model.restore import restoration_of, restore, to_samples

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    trained = getattr(model.config, "task", "generate")
    if not model.restores or trained != verb:
        raise UserError(f"{args.run} was trained with task={trained}. {advice(model.config, verb)}")
    given, plan = DegradedInputs(model, args), model.plan(**plan_options(args))
    how = {"keep": not args.no_keep, "seed": args.seed, "cond": cond, **plan_options(args)}
    pairs = (
        (to_samples(model, batch.x, batch, batch.cond), restore(model, batch, first=first, **how))
        for first, batch in given.parts(model.batch_size(plan))
    )
    metadata = {"seed": args.seed, "requested": cond, "given": restoration_of(model)[1].simple}
    metadata |= plan.model_dump(mode="json", exclude={"batch_size"})
    n = len(given.numbers)
    print(write_pairs(args, model, name, pairs, (n, n), given.metadata(), metadata))
    return 0


def solve(words: Sequence[str]) -> int:
    """Run `polydiff solve` and return its exit code."""
    args = read_solve(words)
    check_free(args.output)
    cond = read_conditions(args)
    from polydiff.contract.domain import Samples
    from polydiff.model.model import Model
    from polydiff.model.restore import to_samples
    from polydiff.model.solve import check_noise, compared, measurement_of, simple_estimate, solve, solving

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    options = {"iterations": args.iterations, "zeta": args.zeta}
    request = solving(model, args.how, options, plan_options(args))
    check_noise(args.noise)
    given = Inputs(model, args)
    how = {"noise": args.noise, "seed": args.seed}
    kept: list[tuple[Samples, Samples, Samples]] = []

    def pairs() -> Iterator[tuple[Samples, Samples]]:
        for first, batch, y in given.measured(request.batch_size):
            simple = simple_estimate(model, batch, args.measurement, y=y, first=first, **how)
            made = solve(
                model, batch, args.measurement, y=y, how=args.how, first=first, cond=cond, **options, **how,
                **plan_options(args),
            )  # fmt: skip
            if not given.files:
                kept.append((made, simple, to_samples(model, batch.x, batch, None)))
            yield simple, made

    n = len(given.numbers)
    facts = {"measurement": args.measurement, "measured": args.measured, "noise": args.noise}
    chosen = {name: value for name, value in options.items() if value is not None}
    metadata = {**facts, "seed": args.seed, "method": args.how, **chosen, "requested": cond}
    metadata |= request.how.model_dump(mode="json", exclude={"batch_size"})
    folder = write_pairs(args, model, "solved", pairs(), (n, n), {**given.metadata(), **facts}, metadata)
    if kept:
        method = measurement_of(model, args.measurement, given.take([given.numbers[0]])).method
        made, simple, truth = (Samples.join(list(part)) for part in zip(*kept, strict=True))
        judged = compared(model, made, simple, truth)
        facts |= {"method": args.how, "n": n, "first": given.numbers[0], "seed": args.seed, "simple": method}
        write_comparison(folder, facts, judged)
    print(folder)
    return 0


class Inputs(Given):
    """Input examples with a measurement: files or held-out examples that are measured, or files of measurements.

    Arguments:
        model: Its domain reads the files and names the measurement.
        args: Of `read_solve`.
    """

    def __init__(self, model: Model, args: argparse.Namespace) -> None:
        from polydiff.model.solve import measurement_of

        self.text, self.holds_y = args.measurement, args.measured
        if self.holds_y and not args.files:
            raise UserError("--measured is about files, but no file is given.")
        super().__init__(model, args, lambda batch: measurement_of(model, args.measurement, batch))

    def read(self, paths: Sequence[Path]) -> Batch:
        return self.read_both(paths)[0]

    def read_both(self, paths: Sequence[Path]) -> tuple[Batch, Tensor | None]:
        """Return files as examples, or as blank states of what they measure, with their measurements."""
        from polydiff.model.solve import read_measured

        return read_measured(self.model, self.text, paths) if self.holds_y else (super().read(paths), None)

    def measured(self, most: int) -> Iterator[tuple[int, Batch, Tensor | None]]:
        """Yield the parts (`Given.parts`) with their measurements; None: they are yet to be measured."""
        if not self.holds_y:
            yield from ((first, batch, None) for first, batch in self.parts(most))
            return
        yield from ((first, *self.read_both(files)) for first, files in self.together(most))


def read_solve(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of `polydiff solve`."""
    parser = given_parser("solve", "Generate examples that agree with a linear measurement of given ones.", "solved")
    parser.add_argument(
        "--given", dest="measurement", metavar="MEASUREMENT", required=True,
        help="what is known of each example: images grey, blur=1.5 (pixels), mean=4 (blocks), gap=2,2:6,6, "
        "mask=FILE; audio low=2000 (Hz), mean=4, mono, gap=0.2:0.3 (seconds)",
    )  # fmt: skip
    parser.add_argument(
        "--measured", action="store_true",
        help="the files are measurements already: a blurred picture, a small one, a sound of one channel",
    )  # fmt: skip
    parser.add_argument(
        "--noise", metavar="S", type=float, default=0.0,
        help="standard deviation of noise that is added to the measurement, or that it has with --measured, where 1 is "
        "white or full scale; default: 0",
    )  # fmt: skip
    parser.add_argument(
        "--how", metavar="METHOD", default="moments", help="moments (default), pigdm or dps: docs/control.md"
    )
    parser.add_argument("--iterations", metavar="I", type=positive, help="pigdm, moments: iterations of the solver")
    parser.add_argument("--zeta", metavar="Z", type=float, help="dps: size of the gradient step; default: 0.3")
    return parser.read(words)


def write_comparison(folder: Path, facts: dict[str, Any], judged: dict[str, dict[str, Metric]]) -> None:
    """Print the distances of solutions and of the simple method to the true examples, and write metrics.json.

    Arguments:
        folder: Folder of the results.
        facts: The measurement, the number of examples, the seed and the simple method.
        judged: Metrics of "value" and "baseline"; {} if the domain has none.
    """
    if not judged:
        return
    rows = {
        name: {
            **{column: json_number(judged[column][name].value) for column in judged},
            "unit": metric.unit,
            "better": metric.better,
            "meaning": metric.meaning,
        }
        for name, metric in judged["value"].items()
    }
    write_atomic(folder / "metrics.json", json.dumps({**facts, "metrics": rows}, indent=1))
    comparison_table(facts, rows)
