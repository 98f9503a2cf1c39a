"""Parsing of a verb's arguments: options by argparse, configuration keys by `read_words`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from polydiff.config.merge import Settings, resolve
from polydiff.core import extensions
from polydiff.support.errors import UserError, unknown
from polydiff.support.yaml_text import parse_yaml


class Plugin(argparse.Action):
    """An option that imports a module, so that the names it registers can be used."""

    def __call__(self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, _: object = None) -> None:
        extensions.load(value)


class OptionalNumber(argparse.Action):
    """An option with an optional number; without one its value is `const`.

    In `--profile train.steps=9` no number is given. The argument that follows is a key, and is appended to `words` of
    the namespace.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs="?", **more)

    def __call__(self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, _: object = None) -> None:
        if isinstance(value, str) and not value.lstrip("-").isdecimal():
            args.words, value = [*args.words, value], self.const
        if int(value) < 1:
            raise argparse.ArgumentError(self, f"{value} is not above 0")
        setattr(args, self.dest, int(value))


class Found(Exception):
    """A verb has made its parser, which this holds, instead of reading its words (`parser_of`)."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


_wanted = ContextVar("wanted", default=False)
"""Whether parsers raise `Found` instead of reading words."""


def parser_of(verb: Callable[[Sequence[str]], int], words: Sequence[str] = ()) -> Parser:
    """Return the parser of a verb, which reads nothing and does nothing; `words` choose one of several."""
    token = _wanted.set(True)
    try:
        verb(words)
    except Found as found:
        return found.parser
    finally:
        _wanted.reset(token)
    raise RuntimeError(f"{verb} has no parser")


class Shown(SystemExit):
    """Help was printed, so the program ends."""


class StoreOnce(argparse.Action):
    """An option with one value, which the command line may give only once."""

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        given: set[str] = args.__dict__.setdefault("given", set())
        if option is not None and self.dest in given:
            raise argparse.ArgumentError(self, f"given twice: {getattr(args, self.dest)} and {value}")
        given.update([self.dest] if option is not None else [])
        setattr(args, self.dest, value)


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError, with a suggestion for a misspelt option."""

    def __init__(self, verb: str, summary: str, **options: object) -> None:
        super().__init__(f"polydiff {verb}", description=summary, allow_abbrev=False, **options)  # type: ignore[arg-type]
        for name in (None, "store"):
            self.register("action", name, StoreOnce)
        self.add_argument(
            "--plugin", metavar="MODULE", action=Plugin,
            help="import this file or module first; it may register samplers, losses, ...; repeatable",
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}. `{self.prog} --help` lists the options.")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Shown(status)

    def parse_known_args(self, *args: Any, **options: Any) -> Any:
        if _wanted.get():
            raise Found(self)
        return super().parse_known_args(*args, **options)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the parsed options. Raise UserError if an argument is unknown or left over."""
        args, rest = self.parse_known_intermixed_args(words)  # so that files may stand before and after options
        if rest and rest[0].startswith("-"):
            raise unknown("option", rest[0].partition("=")[0], self._option_string_actions)
        if rest:
            self.error(f"{rest[0]!r} is one argument too many")
        return args


def config_parser(verb: str, summary: str) -> Parser:
    """Return a parser of the options that choose a configuration; keys stay among the arguments it does not know."""
    parser = Parser(verb, summary, add_help=False, usage=f"polydiff {verb} --domain NAME [options] [key=value ...]")
    parser.add_argument("-d", "--domain", metavar="NAME", help="kind of data; `polydiff domains list` shows them")
    parser.add_argument(
        "-p", "--preset", metavar="NAME", help="named set of defaults; `polydiff presets list` shows them"
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="YAML file of configuration keys; repeatable",
    )
    parser.add_argument(
        "-h", "--help", action="store_true", help="show this help; with --domain, every configuration key too"
    )
    return parser


def settings(args: argparse.Namespace, rest: Sequence[str]) -> Settings:
    """Return the configuration set by the options of a `config_parser` and the remaining arguments (keys)."""
    return resolve(args.domain, args.preset, args.config, read_words(rest))


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Return configuration keys and their text values.

    Accepts key=value, --key=value and --key value; --key without a value is true.

    Raises:
        UserError: An argument has another form, or a key is given twice.
    """
    read: dict[str, str] = {}
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals and word.startswith("--"):
            value = waiting.pop() if waiting and not waiting[-1].startswith("--") else "true"
        elif not equals or not key or key.startswith("-"):
            raise UserError(f"{word!r} is neither an option nor key=value, such as train.steps=1000.")
        if key in read:
            raise UserError(f"{key} is given twice: {key}={read[key]} and {key}={value}.")
        read[key] = value
    return read


def read_pairs(option: str, words: Sequence[str], example: str | Callable[[str], str]) -> dict[str, str]:
    """Return names and values of a repeatable option NAME=VALUE.

    Arguments:
        option: The option.
        words: Its values.
        example: Such a value for the message, or what returns one for a name.

    Raises:
        UserError: An argument has another form, or a name is given twice.
    """
    pairs = [word.partition("=") for word in words]
    for key, equals, value in pairs:
        if not (key and equals and value):
            such = example if isinstance(example, str) else example(key)
            raise UserError(f"{option} {key}{equals}{value} is not of the form NAME=VALUE, such as {option} {such}.")
        if [other for other, _, _ in pairs].count(key) > 1:
            raise UserError(f"{option} {key} is given twice.")
    return {key: value for key, _, value in pairs}


def read_options(option: str, words: Sequence[str], example: str) -> dict[str, Any] | None:
    """Return names and values of a repeatable option NAME=VALUE, with values parsed as YAML; None if not given."""
    pairs = read_pairs(option, words, example)
    return {name: parse_yaml(value, f"{option} {name}") for name, value in pairs.items()} or None


def whole(text: str, least: int) -> int:
    """Parse a whole number of at least `least`."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is below {least}")
    return number


def not_negative(text: str) -> int:
    """Parse a whole number of at least 0."""
    return whole(text, 0)


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    return whole(text, 1)


def size(text: str) -> int | str:
    """Parse a whole number above 0, or "auto"."""
    try:
        return text if text == "auto" else positive(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number above 0 nor auto") from None
