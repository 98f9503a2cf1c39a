r"""The embeddings that a contrastive pair of another run makes of examples and of texts, at unit scale.

A pair maps an example, or a text, to a unit vector v of E numbers. A diffusion works on, and is conditioned on,

$$ z = \sqrt E \; v , \qquad |z|^2 = E , $$

so that the mean square of the numbers of every embedding is 1, as that of standard normal noise (the scale of
https://github.com/lucidrains/DALLE2-pytorch). One number is the scale of all directions. A scale a number, as codes of
an autoencoder have, would enlarge directions in which embeddings hardly vary, and the sphere would become an ellipsoid
on which the cosine means nothing. A drawn vector lies off the sphere; `normalised` puts it back before it is used.

Symbols: B batch, E numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.data.arrays import checked_vectors, read_array
from polydiff.contract.domain import Domain
from polydiff.contract.editing import Reads
from polydiff.core.conditions import Condition
from polydiff.match.module import Pair
from polydiff.match.objective import have_text
from polydiff.stages.parts import Part
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

ARRAY = ".npy"
"""Suffix of a file that holds embeddings."""


class Embedder:
    """Embeds states of a domain, and texts, by a trained pair.

    Arguments:
        pair: The pair, with trained weights, in evaluation mode.
        part: The run that it comes from.
    """

    def __init__(self, pair: Pair, part: Part) -> None:
        self.pair, self.part, self.width = pair, part, pair.width

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return embeddings (B, E) of states x (B, C, ...), on the device of x."""
        return self.scale * self.pair.embed(x.to(self.device)).to(x.device)

    @torch.no_grad()
    def embed_text(self, cond: Condition, batch: int) -> Tensor:
        """Return embeddings (B, E), on the CPU, of the texts among conditions; NaN for a sample without a text."""
        texts = {name: value.to(self.device) for name, value in self.pair.texts(cond).items()}
        if not texts:
            return torch.full((batch, self.width), math.nan)
        found = self.scale * self.pair.embed_text(texts, batch)
        return torch.where(have_text(texts, batch)[:, None], found, math.nan).cpu()

    def normalised(self, z: Tensor) -> Tensor:
        """Return vectors (B, E) of any length as embeddings, of length sqrt(E)."""
        return self.scale * functional.normalize(z.float(), dim=1)

    def read(self, domain: Domain, paths: Sequence[Path]) -> Tensor:
        """Return the embeddings of files, one a file or a vector of a file.

        Arguments:
            domain: Reads its own files, with the statistics of the pair.
            paths: Files of examples of one size, or .npy files of embeddings of any length, (E,) or (N, E).

        Raises:
            UserError: A file cannot be read, or its vectors have another width.
        """
        arrays = [path for path in paths if path.suffix.lower() == ARRAY]
        if not arrays:
            if not provides(domain, Reads):
                raise UserError(
                    f"{paths[0]}: this domain reads no files. Give an array {ARRAY} of {self.width} numbers."
                )
            return self.embed(domain.read(paths).x)
        if len(arrays) < len(paths):
            raise UserError("Give either files of examples or .npy files of embeddings, not both.")
        return torch.cat([self.vectors(read_array(path, path), str(path)) for path in paths])

    def vectors(self, array: Any, source: str) -> Tensor:
        """Return embeddings (N, E) from an array (E,) or (N, E); `source` names it in messages."""
        found = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        checked = torch.as_tensor(checked_vectors(found, source, self.width), dtype=torch.float32)
        if not (checked.norm(dim=1) > 0).all():
            raise UserError(f"{source}: an embedding of zeros has no direction.")
        return self.normalised(checked)

    @property
    def scale(self) -> float:
        """Length of an embedding, sqrt(E)."""
        return math.sqrt(self.width)

    @property
    def name(self) -> str:
        """The key and path that named it, for messages."""
        return self.part.name

    @property
    def statistics(self) -> Mapping[str, Any]:
        """Statistics of the data that it was trained on."""
        return dict(self.part.state["statistics"])

    @property
    def device(self) -> torch.device:
        """Device of the pair."""
        return self.pair.log_scale.device
