"""The verbs that edit existing examples: `vary`, `inpaint` and `interpolate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.cli.inputs import EXAMPLES_NOT_TEXTS, Given, example, given_parser, output_option, write_pairs
from polydiff.cli.options import check_free, model_parser, plan_options, read_conditions
from polydiff.cli.parsing import positive
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.core.space import Batch
    from polydiff.model.model import Model

NOTHING_CHOSEN = (
    "Set either --gap (parts to generate) or --keep (parts to keep), such as --gap 0.2:0.3. Images also take "
    "--mask instead (picture whose white parts are generated), molecules --add (atoms to add), such as --add 6, and "
    "files of texts may have blanks, such as 3+4=__."
)
"""Error if what is known is not said, or twice."""


def vary(words: Sequence[str]) -> int:
    """Run `polydiff vary` and return its exit code."""
    parser = given_parser("vary", "Vary examples: corrupt them in part, and sample from there.", "varied")
    parser.add_argument(
        "--strength", metavar="S", type=float, default=0.5,
        help="time at which sampling begins, above 0 (the example) and at most 1 (nothing of it is left): the more, "
        "the more noise or lost letters; default: 0.5",
    )  # fmt: skip
    args = parser.read(words)
    check_free(args.output)
    cond = read_conditions(args)
    from polydiff.model.edit import vary as edit
    from polydiff.pipeline.chain import Chain, load

    found = load(args.run, weights=args.weights, ema=args.ema)
    model = found.varied if isinstance(found, Chain) else found
    how = {"strength": args.strength, "seed": args.seed, "cond": cond, **plan_options(args)}
    metadata = {"seed": args.seed, "strength": args.strength, "requested": cond}
    write_edited(
        args, model, "varied", Given(model, args), lambda given, i: edit(model, given, first=i, **how), metadata
    )
    return 0


def inpaint(words: Sequence[str]) -> int:
    """Run `polydiff inpaint` and return its exit code."""
    parser = given_parser("inpaint", "Generate parts of examples, consistent with the kept parts.", "inpainted")
    parser.add_argument(
        "--gap", metavar="PART", action="append", default=[],
        help="part to generate: audio BEGIN:END in seconds; images X0,Y0:X1,Y1 in pixels of the model's images; "
        "molecules a SMARTS pattern or atom numbers such as 0,4-7; texts BEGIN:END in letters, or _ for each letter to "
        "generate in the file; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="PART", action="append", default=[],
        help="part to keep, instead of --gap: 0:0.25 continues the first quarter of a second; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--mask", metavar="FILE", type=Path,
        help="images: picture whose white parts are generated and black parts kept, instead of --gap; of the size of "
        "the input files, or of the model's images",
    )  # fmt: skip
    parser.add_argument(
        "--add", metavar="N", default="",
        help="molecules: atoms to add, hydrogens included, as a number or a formula such as C2H4; without --gap "
        "and --keep all given atoms are kept",
    )  # fmt: skip
    parser.add_argument(
        "--resample",
        metavar="R",
        type=positive,
        default=1,
        help="runs of each segment of steps; default: 1",
    )
    parser.add_argument(
        "--jump", metavar="J", type=positive, help="steps per segment that --resample repeats; default: 5"
    )
    args = parser.read(words)
    check_free(args.output)
    cond = read_conditions(args)
    chosen = [name for name in ("gap", "keep", "mask") if getattr(args, name)]
    if len(chosen) > 1:
        raise UserError(NOTHING_CHOSEN)
    from polydiff.contract.editing import HasBlanks
    from polydiff.core.streams import streams
    from polydiff.model.edit import JUMP, of_examples
    from polydiff.model.edit import inpaint as edit
    from polydiff.model.model import Model
    from polydiff.model.parts.known import kept, white_in
    from polydiff.support.protocols import provides

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    source = of_examples(model)
    if not (chosen or args.add or (args.files and provides(source.domain, HasBlanks))):
        raise UserError(NOTHING_CHOSEN)
    how = {"jump": args.jump, "resample": args.resample, "seed": args.seed, "cond": cond, **plan_options(args)}
    parts = {name: getattr(args, name) for name in ("gap", "keep", "add") if getattr(args, name)}
    parts |= {"mask": str(args.mask)} if args.mask else {}
    white = white_in(source, args.mask, args.files) if args.mask else None
    repeated = {"jump": how["jump"] or JUMP} if args.resample > 1 else {}
    metadata = {"seed": args.seed, **parts, "resample": args.resample, **repeated, "requested": cond}

    def prepare(given: Batch, first: int = 0) -> tuple[Batch, Any]:
        generators = streams(args.seed, "grown", range(first, first + given.space.batch))
        return kept(source, given, args.gap, args.keep, args.add, generators, white)

    def fill(given: Batch, first: int) -> Samples:
        return edit(model, *prepare(given, first), first=first, **how)

    write_edited(args, model, "inpainted", Given(source, args, prepare), fill, metadata)
    return 0


def write_edited(
    args: argparse.Namespace,
    model: Model,
    name: str,
    given: Given,
    edit: Callable[[Batch, int], Samples],
    metadata: dict[str, Any],
) -> None:
    """Edit each given example, write given and edited ones, and print their folder.

    Arguments:
        args: Arguments of the verb.
        model: The model.
        name: Name of the output folder without its number, such as "varied".
        given: The input examples, read by the model or by its view of whole examples.
        edit: (clean states, number of the first example) -> edited examples.
        metadata: Metadata of the edited examples; the section `sample` is added to it in place.
    """
    from polydiff.model.restore import to_samples

    plan, n = model.plan(**plan_options(args)), len(given.numbers)
    pairs = (
        (to_samples(given.model, batch.x, batch, batch.cond), edit(batch, first))
        for first, batch in given.parts(model.batch_size(plan))
    )
    metadata |= plan.model_dump(mode="json", exclude={"batch_size"})
    print(write_pairs(args, model, name, pairs, (n, n), given.metadata(), metadata))


def interpolate(words: Sequence[str]) -> int:
    """Run `polydiff interpolate` and return its exit code."""
    parser = model_parser("interpolate", "Interpolate between two examples.")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="file, or number of a held-out example")
    parser.add_argument(
        "--shares",
        metavar="U,U,...",
        default="0.25,0.5,0.75",
        help="0 is A, 1 is B; default: 0.25,0.5,0.75",
    )
    parser.add_argument("--steps", metavar="S", type=positive, default=50, help="steps per direction; default: 50")
    parser.add_argument(
        "--cond", metavar="NAME=VALUE", action="append", default=[],
        help="condition of both examples and of those between; default: none, the unconditional model; repeatable",
    )  # fmt: skip
    parser.add_argument("--seed", metavar="K", type=int, default=0, help="seed of what --cond leaves open; default: 0")
    output_option(parser, "interpolated")
    args = parser.read(words)
    check_free(args.output)
    shares = read_shares(args.shares)
    cond = read_conditions(args)
    from polydiff.contract.domain import Samples
    from polydiff.model.edit import interpolate as edit
    from polydiff.model.model import Model
    from polydiff.model.restore import to_samples

    if is_pipeline(args.run):
        raise UserError(
            f"{args.run} is a pipeline of several runs. Name one of them, a folder in {args.run / 'stages'}. "
            f"{EXAMPLES_NOT_TEXTS}"
        )
    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    a, b = (example(model, word) for word in (args.a, args.b))
    ends = Samples.join([to_samples(model, end.x, end, end.cond) for end in (a, b)])
    between = Samples.join(edit(model, a, b, shares, steps=args.steps, cond=cond, seed=args.seed))
    metadata = {"shares": shares, "steps": args.steps, "requested": cond, "seed": args.seed}
    numbers = (2, len(shares))
    print(write_pairs(args, model, "interpolated", [(ends, between)], numbers, {"a": args.a, "b": args.b}, metadata))
    return 0


def read_shares(text: str) -> list[float]:
    """Parse shares from 0 to 1, such as 0.25,0.5,0.75."""
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise UserError(f"--shares {text}: expected numbers from 0 (A) to 1 (B), such as 0.25,0.5,0.75.")
    return shares
