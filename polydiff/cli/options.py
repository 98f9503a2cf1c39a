"""The options of every verb that samples: the model, the sampler, guidance, the output folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.cli.parsing import Parser, positive, read_options, read_pairs, size
from polydiff.hub.names import hub_name, on_hub
from polydiff.run.folder import Run, is_pipeline
from polydiff.support import files
from polydiff.support.errors import UserError
from polydiff.support.files import quoted
from polydiff.support.yaml_text import parse_yaml

RUNS = Path("runs")
"""Folder of runs that are started without -o, and of results of models on the hub."""


def model_parser(verb: str, summary: str, run_nargs: str | None = None) -> Parser:
    """Return a parser of the options that choose a model.

    Arguments:
        verb: Name of the verb.
        summary: First line of its help.
        run_nargs: argparse's `nargs` of the argument RUN; None: RUN is required.
    """
    parser = Parser(verb, summary)
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        nargs=run_nargs,
        help="folder of a run, of one of its checkpoints, "
        "of a pipeline or of an exported model; or a model on the hub: hf:user/name",
    )
    parser.add_argument(
        "--weights", choices=["ema", "model"], default="ema", help="averaged weights (ema, default) or raw ones (model)"
    )
    parser.add_argument(
        "--ema", metavar="WIDTH", type=float,
        help="use the average of this relative width, such as 0.08; the run needs train.ema_snapshots",
    )  # fmt: skip
    return parser


def sampling_parser(
    verb: str, summary: str, n: int | None, run_nargs: str | None = None, weights: bool = False
) -> Parser:
    """Return a parser of the options that choose a model and how it samples.

    Arguments:
        verb: Name of the verb.
        summary: First line of its help.
        n: Default number of samples; None: there is no option for it.
        run_nargs: As in `model_parser`.
        weights: Whether --guidance may be repeated (`guidance_parser`).
    """
    parser = model_parser(verb, summary, run_nargs)
    if n is not None:
        parser.add_argument("-n", metavar="N", type=positive, default=n, help=f"number of samples; default: {n}")
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--cond", metavar="NAME=VALUE", action="append", default=[], help="condition of the samples; repeatable"
    )
    sampling = plan_arguments(parser, weights)
    sampling.add_argument(
        "--batch-size", metavar="B", type=size, help="samples per batch; auto: the size that is fastest on the device"
    )
    sampling.add_argument(
        "--stage", metavar="NAME.KEY=VALUE", action="append", default=[],
        help="of a pipeline: key of the section `sample`, or level, of one stage, such as up.steps=8; repeatable",
    )  # fmt: skip
    sampling.add_argument(
        "--compile", action="store_true", default=None,
        help="compile the network first; takes about a minute and pays off for many samples",
    )  # fmt: skip
    return parser


def plan_arguments(parser: argparse.ArgumentParser, weights: bool = False) -> argparse._ArgumentGroup:
    """Add the options of the sampler's steps and of guidance to a verb's parser, and return the group of sampling.

    Arguments:
        parser: The parser.
        weights: Whether --guidance may be repeated (`guidance_parser`).
    """
    sampling = parser.add_argument_group("sampling", "defaults: section `sample` of the run's configuration")
    sampling.add_argument("--steps", metavar="S", type=positive, help="number of sampling steps")
    sampling.add_argument(
        "--sampler", metavar="NAME",
        help="sampler, such as auto, er_sde, unipc, heun or ddim; of letters ancestral, remask or first_hitting",
    )  # fmt: skip
    sampling.add_argument(
        "--option", metavar="NAME=VALUE", action="append", default=[],
        help="option of the sampler, such as eta=0.5, or of a part's, such as bonds.eta=5; repeatable",
    )  # fmt: skip
    sampling.add_argument(
        "--spacing", metavar="NAME", help="Gaussian noise: spacing of its levels, such as karras or time"
    )
    sampling.add_argument(
        "--spacing-option", metavar="NAME=VALUE", action="append", default=[],
        help="option of the spacing, such as rho=5; repeatable",
    )  # fmt: skip
    guidance_parser(parser, weights)
    return sampling


def processes_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --processes to a verb whose work several processes can share."""
    parser.add_argument(
        "--processes", metavar="P", type=positive, default=1,
        help="share the work among P processes on this machine, such as one a GPU; the result is the same",
    )  # fmt: skip


def guidance_parser(parser: argparse.ArgumentParser, weights: bool = False) -> None:
    """Add the options of guidance to a verb's parser; `weights`: --guidance may be repeated and gives a list."""
    group = parser.add_argument_group("guidance", "defaults: section `sample` of the run's configuration")
    group.add_argument(
        "--guidance", metavar="W", type=float, action="append" if weights else "store",
        help=f"guidance scale; 1: no guidance{'; repeatable: the samples of each are judged' if weights else ''}",
    )  # fmt: skip
    group.add_argument("--guidance-method", metavar="NAME", help="cfg; for Gaussian noise also cfg_pp, apg or cfg_zero")
    group.add_argument(
        "--guidance-option", metavar="NAME=VALUE", action="append", default=[],
        help="option of the method, such as rescale=0.7; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--guidance-interval", metavar="LOW,HIGH",
        help="levels at which guidance acts: noise levels such as 0.3,5, or shares of lost letters such as 0.2,0.8",
    )  # fmt: skip
    group.add_argument(
        "--guide", metavar="PATH", type=Path, help="run or checkpoint of a weaker model to guide away from"
    )
    group.add_argument(
        "--negative", metavar="NAME=VALUE", action="append", default=[], help="condition to guide away from; repeatable"
    )


def read_conditions(args: argparse.Namespace) -> dict[str, str]:
    """Return the requested conditions of samples, name -> text, of a verb with the options `run` and `cond`."""
    return read_pairs("--cond", args.cond, lambda name: condition_example(args.run, name))


def condition_example(run: Path, name: str) -> str:
    """Return a condition of a run with a value that the run draws itself, such as 'text=a red circle', for a message.

    Arguments:
        run: Folder of the run.
        name: The condition, if the run has it; otherwise another one.

    Raises:
        UserError: There is no such run, or it has no condition to set.
    """
    from polydiff.contract.abilities import task_conditions
    from polydiff.core.streams import streams
    from polydiff.pipeline.chain import load

    domain = load(run).domain
    cond = domain.blank(streams(0, "example", range(1)), {})[1] or {}
    values = domain.describe({key: value for key, value in cond.items() if key not in task_conditions(domain)})[0]
    if not values:
        raise UserError(f"{run} has no conditions that can be set.")
    chosen = name if name in values else next(iter(values))
    return quoted(f"{chosen}={values[chosen]}")


def plan_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keys of the section `sample` that the options set; None: as configured."""
    plain = {name: getattr(args, name) for name in ("steps", "sampler", "spacing", "guidance", "batch_size", "compile")}
    options = {
        "options": read_options("--option", args.option, "eta=0.5"),
        "spacing_options": read_options("--spacing-option", args.spacing_option, "rho=5"),
    }
    return plain | options | guidance_options(args)


def stage_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the argument `stages` of a pipeline's request, from --stage; {} if it is not given.

    Raises:
        UserError: The run is no pipeline, or a value is not of the form NAME.KEY=VALUE.
    """
    if not args.stage:
        return {}
    if not is_pipeline(args.run):
        raise UserError(f"--stage {args.stage[0]}: {args.run} is a run, which has no stages. Leave --stage out.")
    found = read_stages(args.stage)
    return {"stages": {name: sampling_values(name, keys) for name, keys in found.items()}}


def sampling_values(name: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return keys of a stage's sampling with their values, parsed as YAML; `options.eta` is a part of `options`."""
    found: dict[str, Any] = {}
    for key, text in keys.items():
        value, (outer, _, inner) = parse_yaml(text, f"--stage {name}.{key}"), key.partition(".")
        if inner:
            found.setdefault(outer, {})[inner] = value
        else:
            found[key] = value
    return found


def read_stages(words: Sequence[str], example: str = "up.steps=8") -> dict[str, dict[str, str]]:
    """Return the values of --stage: name of a stage -> key -> text; `example` is one for messages.

    Raises:
        UserError: A value is not of the form NAME.KEY=VALUE, or a key is given twice.
    """
    found: dict[str, dict[str, str]] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value or not all(key.partition(".")):
            raise UserError(f"--stage {word} is not of the form NAME.KEY=VALUE, such as --stage {example}.")
    for key, value in read_pairs("--stage", words, example).items():
        name, _, rest = key.partition(".")
        found.setdefault(name, {})[rest] = value
    return found


def guidance_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keys of the section `sample` that the options of guidance set; None: as configured."""
    interval = args.guidance_interval
    return {
        "guidance_method": args.guidance_method,
        "guidance_options": read_options("--guidance-option", args.guidance_option, "rescale=0.7"),
        "guidance_interval": None if interval is None else parse_yaml(f"[{interval}]", "guidance_interval"),
        "guide": args.guide,
        "negative": read_pairs("--negative", args.negative, lambda name: condition_example(args.run, name)) or None,
    }


def check_free(output: Path | None) -> None:
    """Raise UserError if the output path exists, unless it is an empty folder."""
    if output:
        files.check_free(output, "Choose another -o.")


def run_folder(path: Path) -> Path:
    """Return the folder for results of a run, a pipeline or a model on the hub, given it or one of its checkpoints."""
    if on_hub(path):
        return RUNS / hub_name(path).repository.replace("/", "--")
    return path if is_run(path) or is_pipeline(path) else path.resolve().parent.parent


def is_run(path: Path) -> bool:
    """Return whether a path is the folder of a run or of an exported model, not that of a checkpoint."""
    return not on_hub(path) and (Run(path).exported or Run(path).checkpoints.is_dir())
