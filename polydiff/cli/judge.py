"""The verbs that evaluate a run, `eval`, `look` and `report`, and the evaluation after training."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydiff.cli.options import (
    is_run,
    model_parser,
    plan_arguments,
    plan_options,
    processes_option,
    read_conditions,
    run_folder,
    sampling_parser,
    stage_options,
)
from polydiff.cli.parsing import Parser
from polydiff.cli.pipeline import evaluate_pipeline, report_pipeline
from polydiff.cli.printing.tables import evaluation_table, guidance_table, likelihood_table
from polydiff.hub.names import on_hub
from polydiff.machine import torchrun
from polydiff.run.folder import Run, check_own, is_pipeline
from polydiff.support.errors import UserError, amount
from polydiff.support.files import quoted
from polydiff.support.progress import log
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.model.model import Model

BOUNDS = ("vlb", "chain", "flow", "all")
"""Values of --likelihood; the first is its value if none is given."""
LIKELIHOOD_BATCH = 64
"""Examples per batch of a likelihood, unless --batch-size sets a number."""


def evaluate(words: Sequence[str]) -> int:
    """Run `polydiff eval` and return its exit code."""
    args = read_evaluate(words)
    if torchrun.needed(args.processes):
        return torchrun.start(["eval", *words], args.processes)
    from polydiff.machine.ranks import joined

    with joined() as together:
        return likelihood(args, together.first) if args.likelihood else evaluate_samples(args, together.first)


def evaluate_samples(args: argparse.Namespace, first: bool) -> int:
    """Judge samples of a run or pipeline and return the exit code; the first of several processes prints and writes."""
    cond = read_conditions(args)
    from polydiff.judging.by_guidance import evaluate_by_guidance
    from polydiff.judging.evaluate import evaluate
    from polydiff.metrics.features import open_extractor
    from polydiff.model.model import Model
    from polydiff.pipeline.chain import Chain, load
    from polydiff.sharing.evaluation import keep_evaluation

    features = open_extractor(args.features) if args.features else None
    model = load(args.run, weights=args.weights, ema=args.ema)
    options = {"seed": args.seed, "cond": cond, "features": features, **plan_options(args), **stage_options(args)}
    if isinstance(model, Chain):
        return evaluate_pipeline(args, model, {**options, "pair": args.pair}, first)
    options["pair"] = Model.load(args.pair, device=str(model.device)) if args.pair else None
    several = len(args.several) > 1
    result = (
        evaluate_by_guidance(model, args.n, args.several, **options) if several else evaluate(model, args.n, **options)
    )
    if args.pair:
        result["pair"] |= {"path": str(args.pair)}
    if not first:
        return 0
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        evaluation_table(result)
        guidance_table(result)
    if is_run(args.run):
        keep_evaluation(Run.open(args.run), result)
    else:
        what = f"a checkpoint, and evaluation.json belongs to a run, {run_folder(args.run)}"
        print(f"Nothing was saved: RUN is {'on the hub' if on_hub(args.run) else what}.", file=sys.stderr)
    return 0


def read_evaluate(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of `polydiff eval`.

    `several` lists the guidance weights, and `guidance` is the first one.

    The value of --likelihood is optional, so argparse takes RUN for it in `--likelihood RUN`. A value that is not a
    kind of bound is therefore RUN if no other argument is.
    """
    parser = sampling_parser(
        "eval",
        "Evaluate a run's samples against held-out data and pure noise.",
        n=1000,
        run_nargs="?",
        weights=True,
    )
    processes_option(parser)
    parser.usage = "polydiff eval RUN [options]"
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument(
        "--likelihood", metavar="KIND", nargs="?", const=BOUNDS[0],
        help="instead, bound -log p of N held-out examples; KIND is vlb (default), chain, flow or all",
    )  # fmt: skip
    parser.add_argument(
        "--features", metavar="NET",
        help="also compare on features of your own network: net.pt (TorchScript) or file.py:function",
    )  # fmt: skip
    parser.add_argument(
        "--pair", metavar="RUN", type=Path,
        help="also judge the agreement with captions by a contrastive pair, a run with learn=match; samples have the "
        "captions of held-out examples",
    )  # fmt: skip
    args = parser.read(words)
    if args.likelihood and args.likelihood not in BOUNDS:
        if args.run is not None or not (on_hub(args.likelihood) or Path(args.likelihood).exists()):
            choices = ", ".join(map(repr, BOUNDS))
            parser.error(f"argument --likelihood: invalid choice: {args.likelihood!r} (choose from {choices})")
        args.run, args.likelihood = Path(args.likelihood), BOUNDS[0]
    if args.run is None:
        parser.error("the following arguments are required: RUN")
    args.several = args.guidance or []
    args.guidance = args.several[0] if args.several else None
    return args


def likelihood(args: argparse.Namespace, first: bool) -> int:
    """Run `polydiff eval --likelihood` and return its exit code; the first of several processes prints."""
    set_options = [name for name, value in plan_options(args).items() if value is not None]
    sampling = [f"--{name.replace('_', '-').replace('options', 'option')}" for name in set_options]
    wrong = [option for option in sampling if option != "--batch-size"]
    wrong += [f"--{name}" for name in ("cond", "features", "pair") if getattr(args, name)]
    if wrong:
        raise UserError(
            f"{wrong[0]} applies to samples only. --likelihood evaluates held-out examples, given their own conditions."
        )
    from polydiff.judging.likelihood import bounds_of, likelihood
    from polydiff.model.model import Model

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    kinds = list(bounds_of(model)) if args.likelihood == "all" else [args.likelihood]
    examples = args.batch_size if isinstance(args.batch_size, int) else LIKELIHOOD_BATCH
    result = likelihood(model, args.n, kinds, seed=args.seed, batch_size=examples)
    if not first:
        return 0
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        likelihood_table(result, {kind: bounds_of(model)[kind] for kind in kinds})
    return 0


def report(words: Sequence[str]) -> int:
    """Run `polydiff report` and return its exit code."""
    parser = Parser("report", "Write report.html of a run or pipeline again, from its files and newest checkpoint.")
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument(
        "--from-files", action="store_true",
        help="load no model: keep the pictures of the closer look as they are, even those of an older step",
    )  # fmt: skip
    args = parser.read(words)
    check_own(args.run)
    if is_pipeline(args.run):
        return report_pipeline(args.run, args.from_files)
    from polydiff.report.page import write_report

    if not args.from_files:
        from polydiff.looking.kept import refresh_views

        if reason := refresh_views(args.run):
            print(f"The closer look was not drawn again: {reason}", file=sys.stderr)
    print(write_report(args.run))
    return 0


def look(words: Sequence[str]) -> int:
    """Run `polydiff look` and return its exit code."""
    parser = model_parser("look", "Look into a model: write a page of what it learned, with measured numbers.")
    parser.usage = "polydiff look RUN [FILE ...] [options]"
    parser.add_argument(
        "files", metavar="FILE", type=Path, nargs="*", default=[], help="examples to look at; default: held-out ones"
    )
    parser.add_argument(
        "--cond", metavar="NAME=VALUE", action="append", default=[], help="condition of what is looked at; repeatable"
    )
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--only", metavar="VIEW", action="append", default=[],
        help="draw this view alone, such as trajectory or attention; repeatable",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the numbers of the views as JSON; write no page")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, default=Path("look.html"), help="the page; default: look.html"
    )
    plan_arguments(parser)
    parser.set_defaults(batch_size=None, compile=None)
    args = parser.read(words)
    cond = read_conditions(args)
    from polydiff.looking.page import look
    from polydiff.model.model import Model

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    found = look(model, cond=cond, files=args.files, only=args.only, seed=args.seed, **plan_options(args))
    if args.json:
        print(json.dumps({**found.numbers, "missing": {one.title: one.reason for one in found.missing}}, indent=1))
    else:
        print(found.save(args.output, str(args.run)))
    return 0


def evaluate_and_report(path: Path, evaluated: int) -> None:
    """Evaluate a trained run, write its report, and print the next commands; of several processes the first does."""
    from polydiff.core.process.abilities import Embeds, Reconstructs
    from polydiff.core.process.sampling import Generates
    from polydiff.model.model import Model

    model = Model.load(path)
    report, run = judge_run(model, path, evaluated), quoted(path)
    if report is None:
        return
    print(f"\nRun:     {path}\nReport:  {report}\n\nNext:")
    if provides(model.process, Generates):
        print(f"  polydiff sample {run} -n 16\n  polydiff eval {run} -n 1000")
    if provides(model.process, Reconstructs):
        print(f"  polydiff train --domain {model.config.domain} codec={run}\n  polydiff eval {run} -n 1000")
    if provides(model.process, Embeds):
        train = f"  polydiff train --domain {model.config.domain}"
        print(f"{train} codec={run}\n{train} tell.embedding={run}\n  polydiff eval {run} -n 1000")
    print(f"  polydiff resume {run} train.steps=N")
    if is_pipeline(pipeline := path.absolute().parent.parent):  # its evaluation is older than this stage now
        print(f"  polydiff resume {quoted(pipeline)}")


def judge_run(model: Model, path: Path, evaluated: int) -> Path | None:
    """Evaluate a trained run, print the numbers, write its report, and return the path of the report.

    Processes that are joined share the evaluation; the first one prints and writes, and None is returned in the others.

    Arguments:
        model: Model of the run.
        path: Folder of the run.
        evaluated: Number of samples to evaluate; 0: none.
    """
    from polydiff.core.process.abilities import Embeds, Reconstructs
    from polydiff.core.process.sampling import Generates
    from polydiff.judging.evaluate import evaluate
    from polydiff.judging.result import write_evaluation
    from polydiff.looking.kept import draw_views
    from polydiff.machine.ranks import alone, ranks
    from polydiff.report.page import write_report

    kinds = ((Generates, "sample"), (Reconstructs, "reconstruction"), (Embeds, "held-out pair"))
    what = next((name for ability, name in kinds if provides(model.process, ability)), "")
    result = None
    if evaluated > 0 and what:
        log(f"Evaluating {amount(evaluated, what)}")
        result = evaluate(model, evaluated)
    if not ranks().first:
        return None
    if result:
        evaluation_table(result)  # first: the file may be impossible to write
        write_evaluation(Run.open(path), result)
    try:
        with alone():
            draw_views(model, Run.open(path))
    finally:  # the page is worth more than its pictures
        report = write_report(path)
    return report
