"""The verbs that give models away: `export` and `push`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polydiff.cli.parsing import Parser, not_negative

SAMPLES = 8
"""Number of samples of a card, unless another is requested."""


def export(words: Sequence[str]) -> int:
    """Run `polydiff export` and return its exit code."""
    parser = Parser("export", "Write a run or pipeline as a folder that can be given away, with a model card.")
    parser.usage = "polydiff export RUN -o DIR [options]"
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run, of a checkpoint or of a pipeline")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="the new folder")
    card_options(parser)
    args = parser.read(words)
    from polydiff.sharing.export import export as write

    print(write(args.run, args.output, license=args.license, samples=args.samples))
    return 0


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

    how = {"public": args.public, "license": args.license, "samples": args.samples, "message": args.message}
    print(send(args.run, args.repository, **how))
    return 0


def card_options(parser: Parser) -> None:
    """Add the options of the model card to a verb's parser."""
    parser.add_argument(
        "--license", metavar="ID", default="", help="identifier of the licence, such as apache-2.0; default: not stated"
    )
    parser.add_argument(
        "--samples", metavar="N", type=not_negative, default=SAMPLES,
        help=f"number of samples to draw for the card; default: {SAMPLES}; 0: none",
    )  # fmt: skip
