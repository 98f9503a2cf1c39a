"""Inputs and outputs of the verbs that start from examples: files or held-out examples in, pairs of folders out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from polydiff.cli.options import run_folder, sampling_parser
from polydiff.cli.parsing import Parser, positive
from polydiff.gallery.progress import DrawingProgress
from polydiff.support.errors import UserError, amount
from polydiff.support.files import folder_atomic, new_folder, new_numbered_folder

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.core.space import Batch
    from polydiff.model.model import Model

HELD_OUT = 8
"""Number of held-out examples that are used if no files are given."""


def given_parser(verb: str, summary: str, name: str) -> Parser:
    """Return a parser of input examples and sampling options; results go to RUN/samples/NAME-001."""
    parser = sampling_parser(verb, summary, n=HELD_OUT)
    given_arguments(parser)
    output_option(parser, name)
    return parser


def given_arguments(parser: Parser, only: str = "") -> None:
    """Add the arguments of input examples to a parser with -n; `only` says when they have an effect, for the help."""
    parser.set_defaults(n=None)
    parser.add_argument(
        "files", metavar="FILE", type=Path, nargs="*", default=[], help=f"{only}input files; default: held-out examples"
    )
    parser.add_argument(
        "--each",
        metavar="K",
        type=positive,
        default=1,
        help=f"{only}number of results per file, each with other noise; default: 1",
    )
    parser.add_argument(
        "--first", metavar="I", type=int, help=f"{only}number of the first held-out example; default: 0"
    )


def output_option(parser: Parser, name: str) -> None:
    """Add the option of the output folder."""
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help=f"output folder; default: RUN/samples/{name}-001, ..."
    )


class Found(NamedTuple):
    """What a file holds.

    Attributes:
        shape: Of each part of its state, but for the batch.
        examples: How many.
        dimensions: Of the largest of them.
    """

    shape: tuple[tuple[int, ...], ...]
    examples: int
    dimensions: float


class Given:
    """The input examples: files, or held-out examples.

    Every file is read once before the first is processed, so that an error in the last one is reported at once.

    Arguments:
        model: Its domain reads the files.
        args: Of a `given_parser`.
        check: Called with the clean state of each file, or of the first held-out example; raises a `UserError` where
            it is of no use.
    """

    def __init__(self, model: Model, args: argparse.Namespace, check: Callable[[Batch], object] = id) -> None:
        self.model, self.check = model, check
        self.files = [path for path in list[Path](args.files) for _ in range(args.each)]
        if self.files and not (args.n is None and args.first is None):
            raise UserError("-n and --first select held-out examples. Leave them out if files are given.")
        if args.each > 1 and not self.files:
            raise UserError("--each repeats input files, but no file is given.")
        first, held = args.first or 0, model.domain.size("test") if not self.files else 0
        found = {path: self.look(path) for path in dict.fromkeys(self.files)}
        self.found = [found[path] for path in self.files]
        n = args.n or max(1, min(HELD_OUT, held - first))
        if not self.files and not 0 <= first <= held - n:
            there = "is" if held == 1 else "are"
            raise UserError(f"--first {first} -n {n}: there {there} {amount(held, 'held-out example')}.")
        self.numbers = range(sum(one.examples for one in self.found)) if self.files else range(first, first + n)
        if not self.files:
            check(self.take([first]))

    def look(self, path: Path) -> Found:
        """Return what a file holds, once it was found to be of use."""
        from polydiff.core.parts.product import as_parts

        given = self.read([path])
        try:
            self.check(given)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        shape = tuple(tuple(part.shape[1:]) for part in as_parts(given.x).values())
        return Found(shape, given.space.batch, float(given.space.dim.max()))

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return files as examples."""
        from polydiff.model.edit import read

        return read(self.model, paths)

    def take(self, numbers: Sequence[int]) -> Batch:
        """Return held-out examples by their numbers."""
        from polydiff.core.streams import streams

        return self.model.domain.batch("test", numbers, streams(0, "augment", numbers))

    def parts(self, most: int) -> Iterator[tuple[int, Batch]]:
        """Yield the number of the first, and examples of one size: as many as `most` of training would be.

        What one file holds stays together.

        Arguments:
            most: Examples of the trained size that are computed at a time.
        """
        if not self.files:
            for i in range(0, len(self.numbers), most):
                yield self.numbers[i], self.take(self.numbers[i : i + most])
            return
        for first, files in self.together(most):
            yield first, self.read(files)

    def together(self, most: int) -> Iterator[tuple[int, list[Path]]]:
        """Yield the number of the first example, and files that are computed together; arguments as in `parts`."""
        from polydiff.core.streams import streams

        trained = float(self.model.domain.blank(streams(0, "probe", range(1)), {})[0].dim[0])
        first, examples = 0, dict(zip(self.files, self.found, strict=True))
        for _, same in groupby(zip(self.files, self.found, strict=True), lambda pair: pair[1].shape):
            for files in gathered(list(same), most, trained):
                yield first, files
                first += sum(examples[path].examples for path in files)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the inputs for the manifest."""
        return {"files": [str(path) for path in self.files]} if self.files else {"first": self.numbers[0]}


def gathered(files: Sequence[tuple[Path, Found]], most: int, trained: float) -> Iterator[list[Path]]:
    """Yield files that are computed together, and so many that they are no larger than `most` examples of training."""
    room, together = 0.0, list[Path]()
    for path, found in files:
        need = found.examples * max(found.dimensions / trained, 1.0)
        if together and need > room:
            yield together
            together = []
        room = (room if together else float(most)) - need
        together = [*together, path]
    yield together


def write_pairs(
    args: argparse.Namespace,
    model: Model,
    name: str,
    pairs: Iterable[tuple[Samples, Samples]],
    numbers: tuple[int, int],
    given: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> Path:
    """Write given and made examples as they come and return their folder, which is whole or absent.

    Arguments:
        args: Of the verb, with `run` and `output`.
        model: What made them.
        name: Of the folder, RUN/samples/NAME-001 without `output`.
        pairs: Given ones, and what was made of them.
        numbers: Of all that are given, and of all that are made.
        given: What the manifests say of where they came from.
        metadata: Further metadata of the generated ones.
    """
    from polydiff.gallery.journal import opened
    from polydiff.gallery.writer import Writer

    facts = {"run": str(args.run), **model.facts, **given}
    with ExitStack() as stack:
        place = nullcontext(args.output) if args.output else new_numbered_folder(run_folder(args.run) / "samples", name)
        shown: Path = stack.enter_context(place)
        folder = shown.resolve()
        stack.enter_context(new_folder(folder.parent))
        draft, progress = stack.enter_context(folder_atomic(folder)), stack.enter_context(DrawingProgress())
        writers = []
        for part, n, head in zip(("given", "made"), numbers, (facts, {**facts, **metadata}), strict=True):
            (draft / part).mkdir()
            journal = stack.enter_context(opened(draft / part, dict(head), batch_said=False))
            writers.append(Writer(draft / part, model.domain, journal, n, one_file=False))
        progress(0, numbers[1])
        for pair in pairs:
            counts = [writer.write(samples) for writer, samples in zip(writers, pair, strict=True)]
            progress(counts[1], numbers[1])
        for writer in writers:
            writer.finish()
    return shown


EXAMPLES_NOT_TEXTS = (
    "A and B are examples, and --cond holds for both. Between two texts: a decoder (tell.NAME), as in the pipeline "
    "dalle2, draws samples from embeddings between those of the texts (docs/unclip.md)."
)
"""Advice to those who give texts to `interpolate`."""


def reads_text(model: Model) -> bool:
    """Return whether a model is conditioned on captions."""
    from polydiff.contract.domain import conditions_of
    from polydiff.core.conditions import Text

    return any(isinstance(kind, Text) for kind in conditions_of(model.domain).values())


def example(model: Model, word: str) -> Batch:
    """Return the clean batch (1, ...) of a file, or of the held-out example of this number."""
    from polydiff.core.streams import streams
    from polydiff.model.edit import read

    if Path(word).exists() or not word.isdecimal():
        if not Path(word).exists() and reads_text(model):
            raise UserError(f"There is no file {word}. {EXAMPLES_NOT_TEXTS}")
        given = read(model, [word])
        if given.space.batch > 1:
            raise UserError(f"{word} holds {given.space.batch} examples; interpolation takes files of one example.")
        return given
    number, held = int(word), model.domain.size("test")
    if number >= held:
        raise UserError(f"{word} is neither a file nor one of the {held} held-out examples (numbers start at 0).")
    return model.domain.batch("test", [number], streams(0, "augment", [number]))
