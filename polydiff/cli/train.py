"""The verbs that train: `train` and `resume`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from polydiff.cli.parsing import OptionalNumber, Parser, config_parser, read_words, settings
from polydiff.cli.tables import TrainingProgress, evaluation_table, help_on_keys, table
from polydiff.config.merge import Settings
from polydiff.contract.backbone import load_backbone_spec
from polydiff.contract.discover import load_domain_spec, require
from polydiff.contract.quarantine import summary_lines
from polydiff.support.errors import UserError
from polydiff.support.files import new_numbered_folder
from polydiff.support.protocols import provides
from polydiff.training.checks import check_config

RUNS = Path("runs")
"""Where runs go that are given no place."""
JUDGED = 256
"""Samples that the evaluation at the end of training draws."""
PROFILED = 10
"""Steps that --profile times."""
HEART = 300
"""Steps of --overfit-one-batch."""
HINT = (
    "not passed. Where the loss stays high everywhere, try more steps (--overfit-one-batch 1000) or another optim.lr; "
    "where it does at low log-SNR (noise), loss.times does not reach there; at high log-SNR, samples will have hiss or "
    "grain. Where it is low and samples are far off, try sample.steps or a higher schedule_options.sigma_max."
)
PARTS = {"data": "wait for data", "forward": "forward, loss", "optimizer": "clip, optimizer", "ema": "averages"}
"""Parts of a step in words."""


def train(words: Sequence[str]) -> int:
    """polydiff train."""
    parser = train_parser()
    args, rest = parser.parse_known_args(words)
    rest = [*rest, *args.words]
    if args.help:
        parser.print_help()
        if args.domain or args.config:
            help_on_keys(settings(args, rest))
        return 0
    chosen = settings(args, rest)
    check(chosen)
    if args.dry_run:
        return print_dry_run(chosen)
    if args.profile:
        return print_profile(chosen, args.output, args.profile)
    if args.overfit_one_batch:
        return check_overfit(chosen, args.overfit_one_batch)
    return begin(chosen, args.output, args.judge)


def train_parser() -> Parser:
    """Return the parser of `polydiff train`."""
    parser = config_parser("train", "Train a model, then sample it, judge it and write a report.")
    parser.set_defaults(words=[])
    parser.add_argument(
        "-o", "--output", metavar="RUN", type=Path, help="the run's folder; default: runs/DOMAIN-001, ..."
    )
    parser.add_argument("--judge", metavar="N", type=int, default=JUDGED, help="samples judged at the end; 0: none")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run", action="store_true", help="build all, take a few steps, tell what a run would take"
    )
    instead.add_argument(
        "--profile",
        metavar="STEPS",
        action=OptionalNumber,
        const=PROFILED,
        help=f"tell where the time of a step goes (of {PROFILED} steps unless you say how many), and write a trace for "
        "Perfetto or chrome://tracing: profile-DOMAIN.json.gz, or the file of -o",
    )
    instead.add_argument(
        "--overfit-one-batch",
        metavar="STEPS",
        action=OptionalNumber,
        const=HEART,
        help=f"a self-check in a minute: learn four examples by heart ({HEART} steps unless you say how many), tell "
        "the loss at every noise level and whether samples are those examples",
    )
    return parser


def print_dry_run(chosen: Settings) -> int:
    """Take a few steps and print what a run would take."""
    from polydiff.checkup.dry_run import dry_run

    table(("what", "value"), dry_run(chosen.config).items())
    return 0


def print_profile(chosen: Settings, output: Path | None, steps: int) -> int:
    """Time a few steps, write their trace and print where the time goes."""
    from polydiff.checkup.step_profile import profile

    show_profile(profile(chosen.config, output or f"profile-{chosen.config.domain}.json.gz", steps))
    return 0


def check_overfit(chosen: Settings, steps: int) -> int:
    """Learn one batch by heart and print how well; 0 if the check passed, else 1."""
    from polydiff.checkup.overfit import overfit

    with TrainingProgress(steps) as progress:
        result = overfit(chosen.config, steps, progress)
    return show_overfit(result)


def show_profile(result: Mapping[str, Any]) -> None:
    """Print where the time of a step goes."""
    seconds = result["seconds"]
    print(
        f"{1e3 * seconds:.1f} ms a step, the mean of {result['steps']}: {result['batch size']} examples, "
        f"{result['parameters']:,} parameters, {result['precision']} on {result['device']}, "
        f"{result['threads']} threads\n"
    )
    parts = [(PARTS.get(name, name), *time_and_share(part, seconds)) for name, part in result["parts"].items()]
    table(("part", "ms", "share"), parts, right=("ms", "share"))
    print()
    rows = [(row["name"], f"{row['calls']:g}", *time_and_share(row["seconds"], seconds)) for row in result["operators"]]
    table(("operator", "calls", "ms", "share"), rows, right=("calls", "ms", "share"))
    print(f"\nmemory of training  {result['memory']:.0f} MiB")
    print(f"products a step     {result['flop'] / 1e9:.4g} GFLOP")
    print(f"forward, backward   {result['flops'] / 1e9:.4g} GFLOP/s")
    for name, speed in result["machine"].items():
        print(f"  of {name + ' here':<17}{result['flops'] / speed:.0%} of {speed / 1e9:.4g} GFLOP/s")
    print(f"\nTrace: {result['trace']}, to be opened in https://ui.perfetto.dev or chrome://tracing")


def show_overfit(result: Mapping[str, Any]) -> int:
    """Print what came of learning one batch by heart, and return 0 where it passed, else 1."""
    print(f"{result['examples']} examples, {result['steps']} steps\n")
    rows = [(f"{row['log_snr']:g}", f"{row['before']:.3g}", f"{row['after']:.3g}") for row in result["levels"]]
    rows.append(("all", f"{result['before']:.3g}", f"{result['after']:.3g}"))
    columns = ("log-SNR", "loss before", "after")
    table(columns, rows, right=columns)
    print()
    if result["off"] is not None:
        print(f"samples are off the nearest example by {result['off']:.2%} of the squared distance between examples")
    if result["sampler"] is not None:
        print(f"the sampler alone draws data of standard deviation 1 with {result['sampler']:.3f}")
    print("passed" if result["passed"] else HINT)
    return 0 if result["passed"] else 1


def time_and_share(seconds: float, whole: float) -> tuple[str, str]:
    """Return a time in ms and its share of a step."""
    return f"{1e3 * seconds:.2f}", f"{seconds / whole:.1%}"


def check(chosen: Settings) -> None:
    """Refuse what cannot be trained, before anything is computed or written."""
    require(load_domain_spec(chosen.config.domain))
    require(load_backbone_spec(chosen.config.backbone.name))
    check_config(chosen.config)


def begin(chosen: Settings, output: Path | None, judged: int) -> int:
    """Train a new run."""
    from polydiff.training.trainer import start

    with nullcontext(output) if output else new_numbered_folder(RUNS, chosen.config.domain) as path:
        say(f"Training {chosen.config.domain} in {path}")
        return sit(path, chosen.config.train.steps, judged, lambda progress: start(chosen, path, progress))


def resume(words: Sequence[str]) -> int:
    """polydiff resume."""
    from polydiff.training import trainer

    parser = Parser("resume", "Go on with a run from its newest checkpoint, as if it had not stopped.")
    parser.usage = "polydiff resume RUN [train.steps=N]"
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument("--judge", metavar="N", type=int, default=JUDGED, help="samples judged at the end; 0: none")
    args, rest = parser.parse_known_args(words)
    steps = asked_steps(args.run, read_words(rest))
    total = steps or planned_steps(args.run)
    return sit(args.run, total, args.judge, lambda progress: trainer.resume(args.run, steps, progress))


def planned_steps(path: Path) -> int:
    """Return the steps that the newest checkpoint of a run was to reach."""
    from polydiff.run.checkpoint import checkpoint_path, read_state

    state, _ = read_state(checkpoint_path(path))
    return int(state["config"]["train"]["steps"])


def asked_steps(run: Path, words: dict[str, str]) -> int | None:
    """Return the steps that train.steps=N asks for; nothing else can be changed in a run that goes on."""
    for key in words:
        if key != "train.steps":
            advice = f"For other changes begin a new run: polydiff train -c {run}/config.resolved.yaml {key}=..."
            raise UserError(f"A run goes on as it is; only train.steps can be raised. {advice}")
    if not words:
        return None
    (value,) = words.values()
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"train.steps={value}: should be a whole number above 0.")
    return int(value)


def sit(path: Path, steps: int, judged: int, work: Callable[[TrainingProgress], Path]) -> int:
    """Train to the end with progress shown, then judge and report; Ctrl-C says how to go on."""
    from polydiff.run.folder import steps_saved
    from polydiff.training.loop import NonFiniteError

    try:
        with TrainingProgress(steps) as progress:
            work(progress)
    except KeyboardInterrupt:
        if saved := steps_saved(path / "checkpoints"):
            say(f"\nStopped; step {saved[-1]} is kept. Go on with: polydiff resume {shlex.quote(str(path))}")
        else:
            say("\nStopped before the first checkpoint; nothing is kept to go on with.")
        return 130
    except NonFiniteError as error:
        raise UserError(f"{error} The run is in {path}.") from error
    for line in summary_lines(path):
        say(line)
    try:
        finish(path, judged)
    except KeyboardInterrupt:
        say(f"\nStopped; the run is trained. Finish with: polydiff eval {path}; polydiff report {path}")
        return 130
    return 0


def finish(path: Path, judged: int) -> None:
    """Judge a trained run, write its report, and say what can be done with it."""
    from polydiff.core.process import Generates
    from polydiff.judging.evaluate import evaluate, write_evaluation
    from polydiff.model.model import Model
    from polydiff.report.page import write_report

    if judged > 0 and provides((model := Model.load(path)).process, Generates):
        say(f"Judging {judged} samples")
        result = evaluate(model, judged)
        write_evaluation(path, result)
        evaluation_table(result)
    report = write_report(path)
    run = shlex.quote(str(path))
    print(f"\nRun:     {path}\nReport:  {report}\n\nNext:")
    print(f"  polydiff sample {run} -n 16\n  polydiff eval {run} -n 1000\n  polydiff resume {run} train.steps=N")


def say(text: str) -> None:
    """Tell on stderr what goes on."""
    print(text, file=sys.stderr, flush=True)
