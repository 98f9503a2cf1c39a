"""Pipelines on the command line: train, resume, evaluate and report them, and the verb `chain`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.cli.options import RUNS, read_stages
from polydiff.cli.parsing import Parser, read_words
from polydiff.cli.printing.tables import explanations, numbers_table, table
from polydiff.contract.discover import load_domain_spec
from polydiff.hub.names import on_hub
from polydiff.machine import torchrun
from polydiff.pipeline.file import Pipeline, pipeline_of, read_pipeline
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.support.files import quoted
from polydiff.support.launched import launched
from polydiff.support.progress import log
from polydiff.support.signals import exit_code
from polydiff.support.yaml_text import read_yaml

if TYPE_CHECKING:
    from polydiff.pipeline.chain import Chain
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.pipeline.train import Train, Turn


def chosen_pipeline(args: argparse.Namespace) -> Pipeline | None:
    """Return the pipeline that -c or --preset of `polydiff train` names; None if they name a run's configuration."""
    files = [path for path in args.config if "stages" in read_yaml(path)]
    if files:
        if len(args.config) > 1 or args.preset:
            raise UserError(f"{files[0]} is a pipeline, which takes no further -c and no --preset. Leave them out.")
        return read_pipeline(files[0], args.domain)
    if not (args.domain and args.preset):
        return None
    spec = load_domain_spec(args.domain)
    if args.preset not in spec.pipelines:
        return None
    if args.config:
        raise UserError(f"The preset {args.preset} is a pipeline, which takes no -c. Leave it out.")
    return pipeline_of(spec.pipelines[args.preset], f"preset {args.preset}", Path.cwd(), args.domain)


def train_pipeline(pipeline: Pipeline, args: argparse.Namespace, keys: Mapping[str, str], words: Sequence[str]) -> int:
    """Train a new pipeline and return the exit code.

    Arguments:
        pipeline: The pipeline.
        args: Arguments of `polydiff train`.
        keys: Its configuration keys, for all stages.
        words: The arguments as they were typed, for the processes that are started.
    """
    from polydiff.cli.train import folder_of, start_processes
    from polydiff.machine.ranks import joined
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.pipeline.settings import Words
    from polydiff.pipeline.train import begin, check_not_begun, launch_of

    if args.profile or args.overfit_one_batch:
        raise UserError("--profile and --overfit-one-batch take one run. Use them with the keys of one stage.")
    typed = Words(keys, read_stages(args.stage, "up.train.steps=500"))
    if args.dry_run:
        return print_stages(pipeline, typed)
    if args.output and launched().world == 1:  # processes that are started again would resume what is there
        check_not_begun(args.output)
    launch = launch_of(PipelineFolder(args.output or RUNS, pipeline), typed)
    several = torchrun.needed(launch.processes)
    together, place = nullcontext() if several else joined(launch.timeout), f"{pipeline.domain}-pipeline"
    with together, folder_of(args.output, place) as path:
        if several:
            own = [] if args.output else ["-o", str(path)]
            return start_processes(["train", *words, *own], launch)
        return finish(begin(pipeline, path, typed), args.judge)


def print_stages(pipeline: Pipeline, words: Any) -> int:
    """Print what each stage is and which runs it names; return 0.

    Arguments:
        pipeline: The pipeline.
        words: Keys of the command line (`polydiff.pipeline.settings.Words`).
    """
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.pipeline.train import planned
    from polydiff.run.parents import parents_of

    folder = PipelineFolder(Path("PIPELINE"), pipeline)
    found, _ = planned(folder, words)
    names = {path: name for name, path in folder.runs.items()}
    rows = []
    for name, stage in pipeline.stages.items():
        if stage.run:
            rows.append((name, f"the run {stage.run}", "", ""))
            continue
        config = found[name].config
        on = ", ".join(f"{key}={names.get(path, path)}" for key, path in parents_of(config).items())
        rows.append((name, f"learn={config.learn}, {config.backbone.name}", on, f"{config.train.steps:,}"))
    table(("stage", "what", "depends on", "steps"), rows, right=("steps",))
    return 0


def resume_pipeline(args: argparse.Namespace, rest: Sequence[str], words: Sequence[str]) -> int:
    """Train the stages of a pipeline that are not done and return the exit code.

    Arguments:
        args: Arguments of `polydiff resume`.
        rest: Its configuration keys: a pipeline takes those of the section `launch`.
        words: The arguments as they were typed, for the processes that are started.
    """
    from polydiff.cli.train import EVALUATED, start_processes
    from polydiff.machine.ranks import joined
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.pipeline.settings import Words
    from polydiff.pipeline.train import launch_of

    keys = read_words(rest)
    if wrong := [key for key in keys if not key.startswith("launch.")]:
        raise UserError(
            f"A resumed pipeline takes launch.KEY=VALUE only, but {wrong[0]} is given. To train a stage longer: "
            f"polydiff resume {quoted(args.run / 'stages' / 'NAME')} train.steps=N"
        )
    if args.allow_changed_data:
        raise UserError("--allow-changed-data takes one run. Resume the stage with it, then the pipeline.")
    folder = PipelineFolder.open(args.run)
    folder.check_resumable()
    typed = Words(keys, {})
    launch = launch_of(folder, typed)
    if torchrun.needed(launch.processes):
        return start_processes(["resume", *words], launch)
    with joined(launch.timeout):
        return finish(folder, EVALUATED if args.judge is None else args.judge, typed)


def finish(folder: PipelineFolder, evaluated: int, words: Any = None) -> int:
    """Train the stages that are not done, judge each and then the whole, and write the reports; return the exit code.

    Arguments:
        folder: The pipeline.
        evaluated: Number of samples to evaluate, of each stage and of the whole; 0: none.
        words: Keys of the section `launch` that differ from the pipeline's (`polydiff.pipeline.settings.Words`).
    """
    from polydiff.cli.judge import judge_run
    from polydiff.machine.ranks import ranks
    from polydiff.model.model import Model
    from polydiff.pipeline.report import since_evaluation
    from polydiff.pipeline.settings import NO_WORDS
    from polydiff.pipeline.train import train_stages
    from polydiff.run.folder import Run
    from polydiff.training.duration.progress import TrainingProgress

    worked: list[str] = []

    def work(turn: Turn, train: Train) -> None:
        if turn.steps is None:
            log(f"{turn.title}: done")
        else:
            with TrainingProgress(turn.steps, evaluated, turn.title) as progress:
                train(progress)
            worked.append(turn.name)
        lacks_report = folder.pipeline.stages[turn.name].run is None and not Run(turn.path).report.is_file()
        if ranks().agree(lacks_report):
            judge_run(Model.load(turn.path), turn.path, evaluated)

    try:
        train_stages(folder, work, words or NO_WORDS)
        changed = since_evaluation(folder)
        if changed:
            log(f"The evaluation is older than the stages: {changed}.")
        if ranks().agree(bool(worked or changed or not folder.report.is_file())):
            judge_whole(folder, evaluated)
        else:
            log(f"All stages are done. Their page is {folder.report}.")
    except KeyboardInterrupt as error:
        log(f"\nStopped. Resume with: polydiff resume {quoted(folder.path)}")
        return exit_code(error)
    except NonFiniteError as error:
        raise UserError(f"{error} The pipeline is in {folder.path}.") from error
    return 0


def judge_whole(folder: PipelineFolder, evaluated: int) -> None:
    """Evaluate a trained pipeline, write its report and print the next commands.

    Processes that are joined share the evaluation; the first one prints and writes.
    """
    from polydiff.judging.result import write_evaluation
    from polydiff.machine.ranks import alone, ranks
    from polydiff.pipeline.chain import Chain
    from polydiff.pipeline.evaluate import evaluate
    from polydiff.pipeline.report import draw_stages, write_report

    chain, first = Chain.load(folder.path), ranks().first
    if evaluated > 0:
        log(f"Evaluating the pipeline on {evaluated:,} samples")
        result = evaluate(chain, evaluated)
        if first:
            write_evaluation(folder, result)
            pipeline_table(result)
    if not first:
        return
    with alone():
        draw_stages(chain, folder)
    report, place = write_report(folder.path), quoted(folder.path)
    print(f"\nPipeline:  {folder.path}\nReport:    {report}\n\nNext:")
    print(f"  polydiff sample {place} -n 16\n  polydiff eval {place} -n 1000")


def evaluate_pipeline(args: argparse.Namespace, chain: Chain, options: Mapping[str, Any], first: bool) -> int:
    """Evaluate a pipeline, print and keep its numbers, and return the exit code.

    Arguments:
        args: Arguments of `polydiff eval`.
        chain: The pipeline.
        options: seed, cond, features and keys of sampling.
        first: Whether this process prints and writes, as one of several does.
    """
    from polydiff.pipeline.evaluate import evaluate
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.sharing.evaluation import keep_evaluation

    if len(args.several) > 1:
        raise UserError("A pipeline is evaluated at one guidance weight a call. Give --guidance once.")
    result = evaluate(chain, args.n, **options)
    if not first:
        return 0
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        pipeline_table(result)
    if on_hub(args.run):
        print("Nothing was saved: RUN is on the hub.", file=sys.stderr)
    else:
        keep_evaluation(PipelineFolder.open(args.run), result)
    return 0


def pipeline_table(result: Mapping[str, Any]) -> None:
    """Print the evaluation of a pipeline: of the whole, then of each stage alone."""
    print("The whole pipeline")
    numbers_table(result)
    for name, found in result["stages"].items():
        print(f"Stage {name} alone")
        numbers_table(found)
    explanations([result, *result["stages"].values()])


def report_pipeline(path: Path, from_files: bool) -> int:
    """Write the page of a pipeline again and return the exit code; `from_files`: load no model."""
    from polydiff.pipeline.chain import Chain
    from polydiff.pipeline.folder import PipelineFolder
    from polydiff.pipeline.report import draw_stages, since_evaluation, write_report

    folder = PipelineFolder.open(path)
    if not from_files:
        try:
            draw_stages(Chain.load(path), folder)
        except UserError as error:
            print(f"The samples were not drawn again: {error}", file=sys.stderr)
    if changed := since_evaluation(folder):
        again = f"polydiff eval {quoted(path)}"
        print(f"The evaluation is older than the stages: {changed}. Measure them again: {again}", file=sys.stderr)
    print(write_report(path))
    return 0


def chain(words: Sequence[str]) -> int:
    """Run `polydiff chain` and return its exit code."""
    parser = Parser("chain", "Make a pipeline of runs that exist, in this order. Checks that they fit; trains nothing.")
    parser.usage = "polydiff chain RUN RUN ... -o DIR"
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folder of a run; its name names the stage")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder of the pipeline")
    args = parser.read(words)
    from polydiff.pipeline.make import make_pipeline

    make_pipeline(args.runs, args.output)
    print(args.output)
    return 0
