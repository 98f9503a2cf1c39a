"""The verbs that use a trained run: `sample`, `eval` and `report`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from polydiff.cli.options import guidance_parser, guidance_words
from polydiff.cli.parsing import Parser, positive, read_conditions, read_options, size
from polydiff.cli.progress import DrawingProgress
from polydiff.cli.tables import evaluation_table, likelihood_table
from polydiff.gallery.journal import JOURNAL
from polydiff.support.errors import UserError
from polydiff.support.files import new_folder, new_numbered_folder

BOUNDS = ("vlb", "chain", "flow", "all")
"""What --likelihood can be; the first is what it means alone."""


def sample(words: Sequence[str]) -> int:
    """polydiff sample."""
    parser = sampling_parser("sample", "Draw samples from a run and write them as files, with manifest.json.", n=16)
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="where to; default: RUN/samples/generated-001, ..."
    )
    parser.add_argument(
        "--one-file", action="store_true", help="all in one: samples.npz of images or sounds, samples.sdf of molecules"
    )
    args = parser.read(words)
    cond = read_conditions(args.cond)
    if not (args.output and (args.output / JOURNAL).is_file()):
        check_free(args.output)
    from polydiff.gallery.writer import draw
    from polydiff.model.model import Model

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    model.plan(**plan_words(args))
    facts = {"run": str(args.run), "domain": model.config.domain, "step": model.step, "weights": model.weights}
    drawn = run_of(args.run) / "samples"
    for stopped in [] if args.output else sorted(drawn.glob(f"generated-*/{JOURNAL}")):
        print(f"{stopped.parent} is not done; -o {stopped.parent} goes on with it.", file=sys.stderr)
    how = {"seed": args.seed, "cond": cond, "one_file": args.one_file, "facts": facts, **plan_words(args)}
    place = nullcontext(args.output) if args.output else new_numbered_folder(drawn, "generated")
    with place as folder, new_folder(folder), DrawingProgress() as progress:
        try:
            draw(model, folder, args.n, progress=progress, **how)
        except KeyboardInterrupt:
            again = shlex.join(["polydiff", "sample", *words, *([] if args.output else ["-o", str(folder)])])
            print(f"\nStopped; {progress.done} of {args.n} samples are kept. Go on with: {again}", file=sys.stderr)
            return 130
    print(folder)
    return 0


def evaluate(words: Sequence[str]) -> int:
    """polydiff eval."""
    parser = sampling_parser("eval", "Judge a run's samples beside real held-out data and noise.", n=1000)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument(
        "--likelihood", metavar="KIND", nargs="?", const="vlb", choices=BOUNDS,
        help="bound -log p of N test examples instead, by vlb (default), chain, flow or all",
    )  # fmt: skip
    parser.add_argument(
        "--features", metavar="NET", help="also compare on your own features: net.pt (TorchScript) or file.py:function"
    )
    args = parser.read(list(with_bound(words)))
    if args.likelihood:
        return likelihood(args)
    cond = read_conditions(args.cond)
    from polydiff.judging.evaluate import evaluate, write_evaluation
    from polydiff.metrics.features import open_extractor
    from polydiff.model.model import Model

    features = open_extractor(args.features) if args.features else None
    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    result = evaluate(model, args.n, seed=args.seed, cond=cond, features=features, **plan_words(args))
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        evaluation_table(result)
    if (args.run / "checkpoints").is_dir():
        write_evaluation(args.run, result)
    else:
        print(f"Nothing was kept: evaluation.json is of a whole run, {run_of(args.run)}.", file=sys.stderr)
    return 0


def with_bound(words: Sequence[str]) -> Iterator[str]:
    """Yield words, with the bound that --likelihood means alone after it where a run's folder comes next."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        alone = word == "--likelihood" and after not in ("", *BOUNDS) and Path(after).exists()
        yield f"{word}={BOUNDS[0]}" if alone else word


def likelihood(args: argparse.Namespace) -> int:
    """polydiff eval --likelihood."""
    said = [name for name, value in plan_words(args).items() if value is not None]
    sampling = [f"--{name.replace('_', '-').replace('options', 'option')}" for name in said]
    wrong = [word for word in sampling if word != "--batch-size"]
    wrong += [f"--{name}" for name in ("cond", "features") if getattr(args, name)]
    if wrong:
        raise UserError(f"{wrong[0]} is about samples; a likelihood is that of test examples under their conditions.")
    from polydiff.judging.likelihood import bounds_of, likelihood
    from polydiff.model.model import Model

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    kinds = list(bounds_of(model)) if args.likelihood == "all" else [args.likelihood]
    examples = args.batch_size if isinstance(args.batch_size, int) else 64
    result = likelihood(model, args.n, kinds, seed=args.seed, batch_size=examples)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        likelihood_table(result, {kind: bounds_of(model)[kind] for kind in kinds})
    return 0


def report(words: Sequence[str]) -> int:
    """polydiff report."""
    parser = Parser("report", "Write a run's report.html again, from what its folder holds.")
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    args = parser.read(words)
    from polydiff.report.page import write_report

    print(write_report(args.run))
    return 0


def sampling_parser(verb: str, summary: str, n: int) -> Parser:
    """Return a parser of the options that say how samples are drawn."""
    parser = model_parser(verb, summary)
    parser.add_argument("-n", metavar="N", type=positive, default=n, help=f"number of samples; default: {n}")
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="of everything random; default: 0")
    parser.add_argument("--cond", metavar="NAME=VALUE", action="append", default=[], help="what to ask for; repeatable")
    sampling = parser.add_argument_group("sampling", "by default as in the run's configuration, section sample")
    sampling.add_argument("--steps", metavar="S", type=positive, help="sampling steps")
    sampling.add_argument("--sampler", metavar="NAME", help="such as auto, er_sde, unipc, heun or ddim")
    sampling.add_argument(
        "--option", metavar="NAME=VALUE", action="append", default=[], help="the sampler's, such as eta=0.5; repeatable"
    )
    sampling.add_argument("--spacing", metavar="NAME", help="placement of noise levels, such as karras or time")
    sampling.add_argument(
        "--spacing-option", metavar="NAME=VALUE", action="append", default=[], help="such as rho=5; repeatable"
    )
    guidance_parser(parser)
    sampling.add_argument(
        "--batch-size", metavar="B", type=size, help="samples at a time, or auto, as many as the device is best at"
    )
    sampling.add_argument(
        "--compile", action="store_true", default=None, help="compile the network first: a minute, for many samples"
    )
    return parser


def model_parser(verb: str, summary: str) -> Parser:
    """Return a parser of the options that say which model."""
    parser = Parser(verb, summary)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run's folder, or one of its checkpoints")
    parser.add_argument(
        "--weights", choices=["ema", "model"], default="ema", help="averaged weights, or those as trained"
    )
    parser.add_argument(
        "--ema", metavar="WIDTH", type=float, help="average of another width, such as 0.08, of a run with ema_snapshots"
    )
    return parser


def plan_words(args: argparse.Namespace) -> dict[str, Any]:
    """Return the sampling options; None: as configured."""
    plain = {name: getattr(args, name) for name in ("steps", "sampler", "spacing", "guidance", "batch_size", "compile")}
    options = {
        "options": read_options("--option", args.option, "eta=0.5"),
        "spacing_options": read_options("--spacing-option", args.spacing_option, "rho=5"),
    }
    return plain | options | guidance_words(args)


def check_free(output: Path | None) -> None:
    """Refuse a folder to write to that holds something."""
    if output and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not an empty folder. Choose another -o.")


def run_of(path: Path) -> Path:
    """Return the run's folder that a run or one of its checkpoints lies in."""
    return path if (path / "checkpoints").is_dir() else path.resolve().parent.parent
