"""Captions: a condition that is text, measured on the data as a vocabulary.

Symbols: B samples, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from polydiff.contract.text.tokenizers import HALF, TOKENIZERS, Tokenizer, plain
from polydiff.core.conditions import ANY, Text, given
from polydiff.support.errors import UserError, amount, nearest, shortened

SHOWN = 5
"""Largest number of unknown words that a warning shows."""
LISTED = 60
"""Largest vocabulary that an error lists whole; that of a small grammar is complete, whatever tokens were learned."""
TAKES_ANY = "A run with data.text.tokens=bpe takes any text."
KEPT = 1000
"""Largest number of training captions that are kept, evenly spaced, to draw new ones from."""


@dataclass(frozen=True)
class Captions:
    """Text: (B, longest) tokens, -1 beyond a text's own.

    Arguments:
        tokens: Name of the tokenizer in `TOKENIZERS`.
        vocabulary: Its vocabulary.
        longest: Largest number of tokens of a text.
        kept: Captions of the training data, from which those of new samples are drawn.
    """

    type: ClassVar[str] = "text"
    tokens: str
    vocabulary: Sequence[Any]
    longest: int
    kept: Sequence[str]

    @classmethod
    def measure(
        cls,
        values: Sequence[str | None],
        weights: Sequence[int],
        tokens: str = "words",
        size: int = 4000,
        longest: int = 64,
    ) -> Self:
        """Return the captions of examples that occur in training so often: 0 for those held out.

        Arguments:
            values: Caption of each example; None or blank if it has none.
            weights: How often each occurs in training.
            tokens: Name of the tokenizer, which learns its vocabulary from the training captions.
            size: Largest number of different tokens.
            longest: Largest number of tokens that a caption may have.

        Raises:
            UserError: A caption has more tokens than `longest`.
        """
        known = [text for value, w in zip(values, weights, strict=True) if w and (text := plain(value or ""))]
        tokenizer = TOKENIZERS[tokens].learn(known, size)
        lengths = {text: len(tokenizer.encode(text)) for text in {plain(value or "") for value in values}}
        beyond = [text for text, length in lengths.items() if length > longest]
        if beyond:
            text = max(beyond, key=lengths.__getitem__)
            have = amount(len(beyond), "caption has", "captions have")
            raise UserError(
                f"{have} more than data.text.longest={longest} {UNITS[tokens]}, such as "
                f"{shortened(text)!r} with {lengths[text]}. Raise data.text.longest, or shorten the captions."
            )
        count = min(KEPT, len(known))
        kept = tuple(known[i * len(known) // count] for i in range(count))
        return cls(tokens, tuple(tokenizer.vocabulary), max(lengths.values(), default=1) or 1, kept)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of this vocabulary."""
        return TOKENIZERS[self.tokens](self.vocabulary)

    def checked(self) -> Self:
        """Return the captions; raise ValueError if `measure` cannot have returned them."""
        if any(HALF.search(str(text)) for text in (*self.kept, *self.vocabulary)):
            raise ValueError("kept and vocabulary should be text in UTF-8")
        if any(len(self.tokenizer.encode(text)) > self.longest for text in self.kept):
            raise ValueError(f"kept should hold no text of more than longest={self.longest} tokens")
        return self

    def lacking(self, other: Captions) -> str:
        """Return what these captions cannot write of others, those of new data, for a warning; "" if nothing."""
        if self.tokens != other.tokens:
            return f"it keeps data.text.tokens={self.tokens}, not {other.tokens}"
        unknown = sorted({word for text in other.kept for word in self.tokenizer.unknown(text)})
        shown = ", ".join(map(repr, unknown[:SHOWN])) + ", ..." * (len(unknown) > SHOWN)
        return f"it lacks {len(unknown)} of the words of these captions ({shown})" if unknown else ""

    @property
    def kind(self) -> Text:
        return Text(self.tokenizer.size, self.longest)

    def encode(self, values: Sequence[Any]) -> Tensor:
        """Return captions as a condition (B, longest). Words that are not in the vocabulary become "unknown"."""
        cond = torch.full((len(values), self.longest), int(self.kind.missing), dtype=self.kind.dtype)
        for row, value in zip(cond, values, strict=True):
            tokens = self.tokenizer.encode(value or "")
            if len(tokens) > self.longest:
                raise self.too_long("a caption", value, tokens)
            row[: len(tokens)] = torch.tensor(tokens, dtype=row.dtype)
        return cond

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return captions of training examples, each equally likely."""
        places = [int(torch.randint(len(self.kept), (), generator=g)) for g in generators]
        return self.encode([self.kept[place] for place in places])

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        """Return a requested text as the condition of n samples.

        Raises:
            UserError: The text is none, empty, too long, or holds words that are not in the vocabulary.
        """
        if wanted is None or isinstance(wanted, bool | bytes):
            raise UserError(f"{name}={wanted!r} should be a text, or {name}={ANY} to leave it open.")
        if HALF.search(str(wanted)):
            raise UserError(f"{name}={wanted!r} is not text in UTF-8. Write it again, in a terminal or file that is.")
        text = plain(str(wanted))
        if text == ANY:
            return self.encode([None] * n)
        tokens = self.tokenizer.encode(text)
        if not tokens:
            raise UserError(f"{name}={wanted!r} holds no word. Write a text, or {name}={ANY} to leave it open.")
        if unknown := self.tokenizer.unknown(text):
            raise UserError(f"{name}={wanted!r}: {self.advice(unknown)}")
        if len(tokens) > self.longest:
            raise self.too_long(name, text, tokens)
        return self.encode([text]).expand(n, -1).clone()

    def advice(self, unknown: Sequence[str]) -> str:
        """Return what is wrong with words that have no token, and the most similar known ones."""
        near = {word: nearest(word, list(map(str, self.vocabulary))) for word in unknown}
        meant = "".join(f" Did you mean {one!r} for {word!r}?" for word, one in near.items() if one)
        which = f"{', '.join(map(repr, unknown))} {'does' if len(unknown) == 1 else 'do'}"
        known = f"Known: {', '.join(map(str, self.vocabulary))}." if len(self.vocabulary) <= LISTED else TAKES_ANY
        return f"{which} not occur in the captions of training.{meant} {known}"

    def too_long(self, name: str, text: Any, tokens: Sequence[int]) -> UserError:
        """Return the error of a text with too many tokens."""
        return UserError(
            f"{name}={shortened(str(text))!r} has {len(tokens)} {UNITS[self.tokens]}, and the longest caption of "
            f"training has {self.longest}. Shorten it."
        )

    def words(self, cond: Tensor) -> list[Any]:
        texts = [self.tokenizer.decode(row[there].tolist()) for row, there in zip(cond, given(cond), strict=True)]
        return [text or ANY for text in texts]


UNITS = {"words": "words", "bytes": "bytes", "bpe": "tokens"}
"""Tokenizer -> what it counts."""
