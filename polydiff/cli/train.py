"""The verb `train`, and what it shares with `resume`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from polydiff.cli.judge import evaluate_and_report
from polydiff.cli.options import RUNS
from polydiff.cli.parsing import OptionalNumber, Parser, config_parser, not_negative, read_words, settings
from polydiff.cli.pipeline import chosen_pipeline, train_pipeline
from polydiff.cli.printing.key_help import help_on_keys
from polydiff.cli.printing.tables import overfit_table, profile_table, table
from polydiff.config.merge import Settings
from polydiff.contract.backbone import load_backbone_spec
from polydiff.contract.data.quarantine import summary_lines
from polydiff.contract.discover import load_domain_spec, require
from polydiff.contract.sections.training import LaunchConfig
from polydiff.machine import torchrun
from polydiff.machine.processes import on_ray
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.support.files import new_numbered_folder, quoted
from polydiff.support.launched import launched
from polydiff.support.once import printed
from polydiff.support.progress import log
from polydiff.support.signals import exit_code
from polydiff.training.checks import check_settings
from polydiff.training.duration.progress import TrainingProgress

EVALUATED = 256
"""Number of samples of the evaluation after training."""
JUDGE_HELP = "number of samples to evaluate after training"
PROFILED = 10
"""Number of steps that --profile times."""
OVERFIT_STEPS = 300
"""Number of steps of --overfit-one-batch."""


def train(words: Sequence[str]) -> int:
    """Run `polydiff train` and return its exit code."""
    parser = train_parser()
    args, rest = parser.parse_known_args(words)
    rest = [*rest, *args.words]
    pipeline = chosen_pipeline(args)
    if args.help:
        parser.print_help()
        if not pipeline and (args.domain or args.config):
            help_on_keys(settings(args, rest))
        return 0
    if pipeline:
        return train_pipeline(pipeline, args, read_words(rest), words)
    if args.stage:
        raise UserError(f"--stage {args.stage[0]} is a key of a stage, but neither -c nor --preset names a pipeline.")
    chosen = settings(args, rest)
    check(chosen)
    if args.dry_run:
        return print_dry_run(chosen)
    from polydiff.pipeline.train import check_not_begun

    launch = chosen.config.launch
    if args.profile:
        if torchrun.needed(launch.processes):
            return torchrun.start(["train", *words], launch.processes)
        return print_profile(chosen, args.output, args.profile)
    if args.overfit_one_batch:
        return check_overfit(chosen, args.overfit_one_batch)
    if torchrun.needed(launch.processes):
        with folder_of(args.output, chosen.config.domain) as path:
            check_not_begun(path)
            own = [] if args.output else ["-o", str(path)]
            return start_processes(["train", *words, *own], launch)
    return start_run(chosen, args.output, args.judge)


def train_parser() -> Parser:
    """Return the parser of `polydiff train`; `words` collects keys that follow an option with an optional number."""
    parser = config_parser("train", "Train a model. Then draw samples, evaluate them and write a report.")
    parser.set_defaults(words=[])
    parser.add_argument(
        "-o", "--output", metavar="RUN", type=Path, help="folder of the run; default: runs/DOMAIN-001, ..."
    )
    default = f"{JUDGE_HELP}; default: {EVALUATED}; 0: none"
    parser.add_argument("--judge", metavar="N", type=not_negative, default=EVALUATED, help=default)
    parser.add_argument(
        "--stage", metavar="NAME.KEY=VALUE", action="append", default=[],
        help="of a pipeline: key of one stage, such as up.train.steps=500; repeatable",
    )  # fmt: skip
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run",
        action="store_true",
        help="take a few steps; print sizes, memory and time of a run; of a pipeline: print its stages, train nothing",
    )
    instead.add_argument(
        "--profile",
        metavar="STEPS",
        action=OptionalNumber,
        const=PROFILED,
        help=f"time STEPS training steps (default: {PROFILED}), print the time of each part, and write a trace for "
        "Perfetto or chrome://tracing to the file of -o (default: profile-DOMAIN.json.gz)",
    )
    instead.add_argument(
        "--overfit-one-batch",
        metavar="STEPS",
        action=OptionalNumber,
        const=OVERFIT_STEPS,
        help=f"self-check of about a minute: overfit four examples in STEPS steps (default: {OVERFIT_STEPS}); print "
        "the loss per noise level and whether samples are those examples; exit code 1 if not",
    )
    return parser


def print_dry_run(chosen: Settings) -> int:
    """Take a few training steps and print sizes, memory and time of a run; return 0."""
    from polydiff.checkup.dry_run import dry_run

    table(("what", "value"), dry_run(chosen).items())
    return 0


def print_profile(chosen: Settings, output: Path | None, steps: int) -> int:
    """Time a few training steps, write their trace and print the time of each part; return 0.

    Several processes time them together; the first one writes and prints.
    """
    from polydiff.checkup.step_profile import profile
    from polydiff.machine.ranks import joined

    with joined(chosen.config.launch.timeout) as together:
        trace = output or f"profile-{chosen.config.domain}.json.gz"
        found = profile(chosen, trace if together.first else None, steps)
        if together.first:
            profile_table(found)
    return 0


def check_overfit(chosen: Settings, steps: int) -> int:
    """Overfit one batch and print the outcome; return 0 if the check passed, else 1."""
    from polydiff.checkup.overfit import overfit

    with TrainingProgress(steps) as progress:
        result = overfit(chosen, steps, progress)
    overfit_table(result)
    return 0 if result["passed"] else 1


def check(chosen: Settings) -> None:
    """Raise UserError if the configuration cannot be trained, before anything is computed or written."""
    require(load_domain_spec(chosen.config.domain))
    require(load_backbone_spec(chosen.config.backbone.name))
    check_settings(chosen)


def folder_of(output: Path | None, domain: str) -> AbstractContextManager[Path]:
    """Return the context of a new run's folder, which yields it: `output`, or a new folder in `RUNS`."""
    if output is None and launched().world > 1:
        raise UserError("Several processes train one run, so its folder must be named: -o RUN.")
    return nullcontext(output) if output else new_numbered_folder(RUNS, domain)


def start_processes(words: Sequence[str], launch: LaunchConfig) -> int:
    """Run a command of polydiff in several processes and return the exit code."""
    if launch.engine == "ray":
        from polydiff import cli

        return on_ray.start(cli.main, words, launch.processes, launch.restarts, launch.timeout)
    return torchrun.start(words, launch.processes, launch.restarts)


def start_run(chosen: Settings, output: Path | None, evaluated: int) -> int:
    """Train a new run in `output` and return the exit code; None: a new folder in `RUNS`."""
    from polydiff.machine.ranks import joined
    from polydiff.training.trainer import start

    with joined(chosen.config.launch.timeout), folder_of(output, chosen.config.domain) as path:
        title = f"Training {chosen.config.domain} in {path}"
        return train_and_finish(
            path,
            TrainingProgress(chosen.config.train.steps, evaluated, title),
            lambda progress: start(chosen, path, progress),
        )


def train_and_finish(path: Path, progress: TrainingProgress, work: Callable[[TrainingProgress], Path]) -> int:
    """Train with progress shown, then evaluate and write the report; return the exit code.

    Arguments:
        path: Folder of the run.
        progress: Shows the steps; it holds the number of samples to evaluate, 0 for none.
        work: Trains, with the progress to call after each step. Ctrl-C stops it; the message says how to resume.
    """
    from polydiff.machine.ranks import ranks
    from polydiff.run.folder import steps_saved

    try:
        with progress:
            work(progress)
    except KeyboardInterrupt as error:
        if saved := steps_saved(path / "checkpoints"):
            log(f"\nStopped; step {saved[-1]} is saved. Resume with: polydiff resume {quoted(path)}")
        else:
            log("\nStopped before the first checkpoint; there is nothing to resume.")
        return exit_code(error)
    except NonFiniteError as error:
        raise UserError(f"{error} The run is in {path}.") from error
    for line in summary_lines(path, printed()):
        log(line)
    try:
        evaluate_and_report(path, ranks().agree(progress.evaluated or 0))
    except KeyboardInterrupt as error:
        log(f"\nStopped after training. Finish with: polydiff eval {quoted(path)}; polydiff report {quoted(path)}")
        return exit_code(error)
    return 0
