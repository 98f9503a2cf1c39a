"""The verbs between runs and other libraries: `export` and `import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polydiff.cli.options import model_parser, plan_arguments, plan_options, read_conditions
from polydiff.cli.parsing import Parser, read_words
from polydiff.cli.sharing.give import card_options, check_no_card, export_folder
from polydiff.export.formats import FOLDER, FORMATS, Request
from polydiff.export.formats import export as write
from polydiff.support.yaml_text import parse_yaml


def export(words: Sequence[str]) -> int:
    """Run `polydiff export` and return its exit code."""
    parser = model_parser("export", "Write a run as a folder to give away, or for use without polydiff.")
    listed = "; ".join(f"{name}: {form.summary}" for name, form in FORMATS.items())
    own = f"{FOLDER} (default): a folder that stands wherever a run can, with a model card"
    parser.add_argument("--format", metavar="NAME", default=FOLDER, help=f"{own}; {listed}")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="new folder")
    parser.add_argument(
        "--cond", metavar="NAME=VALUE", action="append", default=[],
        help="diffusers: condition that becomes a part of the network; any: without a condition",
    )  # fmt: skip
    card_options(parser)
    plan_arguments(parser)
    parser.set_defaults(batch_size=None, compile=None)
    args = parser.read(words)
    if args.format == FOLDER:
        print(export_folder(args))
        return 0
    check_no_card(args)
    cond = read_conditions(args) if args.cond else {}
    write(args.format, Request(args.run, args.weights, args.ema, plan_options(args), cond), args.output)
    print(args.output)
    return 0


def import_(words: Sequence[str]) -> int:
    """Run `polydiff import` and return its exit code."""
    parser = Parser(
        "import", "Make a run of a pipeline of diffusers.", usage="polydiff import DIR -o RUN [key=value ...]"
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder with unet/ or transformer/, and scheduler/")
    parser.add_argument("-o", "--output", metavar="RUN", type=Path, required=True, help="new folder of the run")
    parser.add_argument(
        "keys", metavar="key=value", nargs="*",
        help="keys of the run, such as data.path=photos: images to judge it and to train it further",
    )  # fmt: skip
    args = parser.read(words)
    keys = {key: parse_yaml(text, key) for key, text in read_words(args.keys).items()}
    from polydiff.export.from_diffusers import read

    read(args.folder, args.output, keys)
    print(args.output)
    return 0
