"""Captions read by a pretrained text encoder from a local folder, in place of one that is trained with the network.

The folder is one of Hugging Face's transformers: config.json, a tokenizer and weights as safetensors. It is only read;
nothing is downloaded, and no code of the folder is run.

Symbols: B samples, N tokens, W width of the encoder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from polydiff.contract.text.captions import KEPT
from polydiff.contract.text.tokenizers import plain
from polydiff.core.conditions import ANY, Tokens
from polydiff.support.errors import UserError, amount, one_line, shortened

INSTALL = 'pip install "polydiff[text]"'
REMEMBERED = 4096
"""Number of captions whose tokens are kept in memory."""
PARTS = {"clip": "CLIPTextModel", "siglip": "SiglipTextModel", "t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Type of a model of several parts -> the class of the part that encodes texts."""
MEASURED = 1000
"""Largest number of captions from which the scale is measured."""


class Encoder:
    """A text encoder from a folder.

    Arguments:
        folder: The folder.

    Raises:
        UserError: transformers is not installed, or the folder holds no encoder that it can load.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise UserError(
                f"The text encoder {folder} is not there or holds no config.json. Bring the folder back, or set "
                "data.text.encoder to a folder that transformers' save_pretrained wrote."
            )
        try:
            transformers = importlib.import_module("transformers")
        except ImportError as error:
            raise UserError(f"data.text.encoder needs transformers ({one_line(error)}): {INSTALL}.") from error
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            kind = transformers.AutoConfig.from_pretrained(folder, **local).model_type
            loader = getattr(transformers, PARTS.get(kind, "AutoModel"))
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
            self.model = loader.from_pretrained(folder, use_safetensors=True, **local).eval().requires_grad_(False)
        except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
            raise UserError(f"The text encoder {folder} cannot be loaded: {one_line(error)}.") from error
        self.limit = int(
            min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512))
        )
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, text: str) -> Tensor:
        """Return the last hidden states of a text, (N, W); N exceeds `limit` only if the text is too long."""
        with self._lock:  # tokenizers are not safe for threads
            numbers = self.tokenizer(text, return_tensors="pt", truncation=False)["input_ids"]
            if numbers.shape[1] > self.limit:
                return torch.empty(numbers.shape[1], 0)
            found: Tensor = self.model(input_ids=numbers).last_hidden_state[0].float()
        return found


@lru_cache(maxsize=2)
def encoder_of(folder: str, digest: str) -> Encoder:
    """Return the encoder in a folder.

    Raises:
        UserError: The folder has changed since a digest was taken.
    """
    encoder = Encoder(Path(folder))
    if (now := digest_of(Path(folder))) != digest:
        raise UserError(
            f"The text encoder {folder} is not that of training: its files have the digest {now}, not {digest}. "
            "Restore them."
        )
    return encoder


def digest_of(folder: Path) -> str:
    """Return a digest of the files of an encoder that decide its output."""
    total = hashlib.blake2b(digest_size=16)
    for path in encoder_files(folder):
        total.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()


def encoder_files(folder: Path) -> list[Path]:
    """Return the files of an encoder that decide its output, sorted by name."""
    kinds = (".json", ".txt", ".model", ".safetensors")
    return [path for path in sorted(folder.iterdir()) if path.suffix in kinds and path.is_file()]


@dataclass(frozen=True)
class EncodedText:
    """Text as the tokens of a pretrained encoder: (B, longest, W), divided by one number; NaN beyond a text's own.

    Arguments:
        folder: Folder of the encoder.
        digest: Digest of its files.
        width: W.
        longest: Largest number of tokens of a text.
        scale: Root mean square of the numbers of training captions.
        kept: Captions of the training data, from which those of new samples are drawn.
    """

    type: ClassVar[str] = "encoded_text"
    folder: str
    digest: str
    width: int
    longest: int
    scale: float
    kept: Sequence[str]

    @classmethod
    def measure(cls, values: Sequence[str | None], weights: Sequence[int], folder: Path, longest: int) -> Self:
        """Return the captions of examples that occur in training so often: 0 for those held out.

        Arguments:
            values: Caption of each example; None or blank if it has none.
            weights: How often each occurs in training.
            folder: Folder of the encoder.
            longest: Largest number of tokens that a caption may have.

        Raises:
            UserError: The folder holds no encoder, or a caption is too long.
        """
        encoder, folder = Encoder(folder), folder.absolute()
        known = [text for value, w in zip(values, weights, strict=True) if w and (text := plain(value or ""))]
        texts = dict.fromkeys([*known, *(plain(value or "") for value in values)])
        lengths = {text: len(encoder.tokenizer(text)["input_ids"]) for text in texts if text}
        limit = min(longest, encoder.limit)
        beyond = [text for text, length in lengths.items() if length > limit]
        if beyond:
            which = "data.text.longest" if limit == longest else f"the limit of {folder.name},"
            text = max(beyond, key=lengths.__getitem__)
            raise UserError(
                f"{amount(len(beyond), 'caption has', 'captions have')} more tokens than {which} {limit}, "
                f"such as {shortened(text)!r} with {lengths[text]}. Raise data.text.longest, or shorten the captions."
            )
        count = min(KEPT, len(known))
        kept = tuple(known[i * len(known) // count] for i in range(count))
        tokens = torch.cat([encoder(text) for text in dict.fromkeys(kept[:MEASURED])])
        scale = float(tokens.square().mean().sqrt())
        most = max(lengths.values(), default=1)
        return cls(os.fspath(folder), digest_of(folder), tokens.shape[1], most, scale or 1.0, kept)

    @property
    def kind(self) -> Tokens:
        return Tokens(self.width, pooled=True)

    @cached_property
    def _memory(self) -> OrderedDict[str, Tensor]:
        """The tokens of recent texts, the latest last."""
        return OrderedDict()

    @cached_property
    def _texts(self) -> dict[bytes, str]:
        """Digest of a text's tokens -> the text."""
        return {}

    def tokens(self, text: str) -> Tensor:
        """Return the tokens of a text, (N, W), from memory if it was read recently."""
        found = self._memory.pop(text, None)
        if found is None:
            found = encoder_of(self.folder, self.digest)(text) / self.scale
        self._memory[text] = found
        if len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return found

    def encode(self, values: Sequence[Any]) -> Tensor:
        cond = torch.full((len(values), self.longest, self.width), float(self.kind.missing))
        for row, value in zip(cond, values, strict=True):
            if text := plain(str(value or "")):
                tokens = self.tokens(text)
                if len(tokens) > self.longest:
                    raise self.too_long(text, len(tokens))
                row[: len(tokens)] = tokens
                self._texts[fingerprint(row)] = text
        return cond

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return captions of training examples, each equally likely."""
        places = [int(torch.randint(len(self.kept), (), generator=g)) for g in generators]
        return self.encode([self.kept[place] for place in places])

    def request(self, name: str, wanted: Any, n: int) -> Tensor:
        """Return a requested text as the condition of n samples; raise UserError if it is empty or too long."""
        text = plain(str(wanted))
        if not text:
            raise UserError(f"{name}={wanted!r} holds no word. Write a text, or {name}={ANY} to leave it open.")
        return self.encode([None if text == ANY else text]).expand(n, -1, -1).clone()

    def too_long(self, text: str, length: int) -> UserError:
        """Return the error of a text with too many tokens."""
        return UserError(
            f"{shortened(text)!r} has {length} tokens, and the longest caption of training has {self.longest}. "
            "Shorten it."
        )

    def words(self, cond: Tensor) -> list[Any]:
        """Return each sample's text, or the number of its vectors if this process has not encoded it."""
        lengths = (~cond.isnan().any(2)).sum(1).tolist()
        return [
            self._texts.get(fingerprint(row), amount(n, "vector")) if n else ANY
            for row, n in zip(cond, lengths, strict=True)
        ]


def fingerprint(row: Tensor) -> bytes:
    """Return a digest of the tokens of one text."""
    return hashlib.blake2b(row.cpu().contiguous().numpy().tobytes(), digest_size=16).digest()
