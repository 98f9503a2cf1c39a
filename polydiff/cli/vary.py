"""The verb `vary`: new examples from held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polydiff.cli.use import check_free, next_folder, plan_words, run_of, sampling_parser
from polydiff.cli.words import read_conditions
from polydiff.domain import Samples
from polydiff.errors import UserError
from polydiff.files import made


def vary(words: Sequence[str]) -> int:
    """polydiff vary."""
    parser = sampling_parser("vary", "Vary held-out examples: add noise to them and let the model take it away.", n=8)
    parser.add_argument(
        "--strength", metavar="S", type=float, default=0.5, help="how much noise, above 0 and at most 1; default: 0.5"
    )
    parser.add_argument("--first", metavar="I", type=int, default=0, help="first of the held-out examples; default: 0")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="where to; default: RUN/samples/varied-001, ..."
    )
    args = parser.read(words)
    cond = read_conditions(args.cond)
    check_free(args.output)
    from polydiff.editing import vary as edit
    from polydiff.model import Model
    from polydiff.random import streams
    from polydiff.run import write_samples

    model = Model.load(args.run, weights=args.weights, ema=args.ema)
    held = model.domain.size("test")
    if not 0 <= args.first <= held - args.n:
        raise UserError(f"--first {args.first} -n {args.n}: there are {held} held-out examples.")
    plan, begun, varied = model.plan(**plan_words(args)), [], []
    with made(args.output):
        size = model.batch_size(plan)
        for first in range(args.first, args.first + args.n, size):
            indices = range(first, min(first + size, args.first + args.n))
            given = model.domain.batch("test", indices, streams(args.seed, "augment", indices))
            begun.append(Samples(model.domain.decode(given.x, given.space), given.cond))
            how = {"strength": args.strength, "seed": args.seed, "first": first, "cond": cond, **plan_words(args)}
            varied.append(edit(model, given, **how))
        folder = args.output or next_folder(run_of(args.run) / "samples", "varied")
        facts = {"run": str(args.run), "domain": model.config.domain, "step": model.step, "weights": model.weights}
        told = {"seed": args.seed, "strength": args.strength, "first": args.first, "asked": cond}
        sampling = plan.model_dump(mode="json", exclude={"batch_size"})
        write_samples(folder.resolve() / "given", model.domain, Samples.join(begun), {**facts, "first": args.first})
        write_samples(folder.resolve() / "varied", model.domain, Samples.join(varied), {**facts, **told, **sampling})
    print(folder)
    return 0
