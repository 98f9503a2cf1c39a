"""Giving models away: the default form of the verb `export`, a folder that stands wherever a run can, and `push`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from polydiff.cli.parsing import Parser, not_negative
from polydiff.hub.files import SAMPLES
from polydiff.support.errors import UserError

OWN = ("output", "format", "license", "samples")
"""Options of `polydiff export` for such a folder."""
REPEATED = ("cond", "option", "spacing_option", "guidance_option", "negative")
"""Repeatable options of `polydiff export` for other formats."""


def export_folder(args: argparse.Namespace) -> Path:
    """Export a run as a folder to give away, by the arguments of `polydiff export`, and return the folder."""
    given = sorted(set(vars(args).get("given", ())) - set(OWN)) + [name for name in REPEATED if getattr(args, name)]
    if given:
        option = given[0].replace("_", "-")
        raise UserError(
            f"--{option} has no effect on a folder to give away, which holds the averaged weights and samples as "
            "configured. Leave it out, or choose --format."
        )
    from polydiff.sharing.export import export

    samples = SAMPLES if args.samples is None else args.samples
    return export(args.run, args.output, license=args.license, samples=samples)


def check_no_card(args: argparse.Namespace) -> None:
    """Raise UserError if an option of the model card is given with a format that has none."""
    if args.license or args.samples is not None:
        option = "--license" if args.license else "--samples"
        raise UserError(f"{option} concerns a model card, which --format {args.format} does not write. Leave it out.")


def push(words: Sequence[str]) -> int:
    """Run `polydiff push` and return its exit code."""
    parser = Parser("push", "Send an exported model, or a run that is exported first, to the hub of Hugging Face.")
    parser.usage = "polydiff push DIR USER/NAME [options]"
    parser.add_argument(
        "run", metavar="DIR", type=Path, help="exported model; or a run or pipeline, which is exported first"
    )
    parser.add_argument("repository", metavar="USER/NAME", help="where it goes; created if it does not exist")
    parser.add_argument(
        "--public", action="store_true", help="let everybody read a new repository; default: it is private"
    )
    parser.add_argument("--message", metavar="TEXT", default="", help="message of the commit")
    card_options(parser)
    args = parser.read(words)
    from polydiff.sharing.push import push as send

    samples = SAMPLES if args.samples is None else args.samples
    how = {"public": args.public, "license": args.license, "samples": samples, "message": args.message}
    print(send(args.run, args.repository, **how))
    return 0


def card_options(parser: Parser) -> None:
    """Add the options of the model card to a verb's parser."""
    parser.add_argument(
        "--license", metavar="ID", default="", help="identifier of the licence, such as apache-2.0; default: not stated"
    )
    parser.add_argument(
        "--samples", metavar="N", type=not_negative,
        help=f"number of samples to draw for the model card; default: {SAMPLES}; 0: none",
    )  # fmt: skip
