r"""The contrastive loss of examples and texts (Radford et al., CLIP, 2021, https://arxiv.org/abs/2103.00020).

For unit vectors a_i of examples and b_j of texts, and the temperature t, the loss of example i is

$$ -\tfrac12 \log \frac{e^{a_i b_i / t}}{\sum_j e^{a_i b_j / t}}
   -\tfrac12 \log \frac{e^{a_i b_i / t}}{\sum_j e^{a_j b_i / t}} , $$

where j runs over the batch without those other examples whose text equals that of i: an equal text is no wrong answer.
Examples without a text have no loss, and serve as no answer.

Symbols: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.core.conditions import Condition, given
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.space import Batch
from polydiff.match.module import Pair


class Contrast(Objective[Pair]):
    """The contrastive loss of a batch, that of all processes together."""

    def compares(self, module: Pair) -> bool:
        return True

    def __call__(
        self, module: Pair, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        n, gather = batch.space.batch, moment.gather
        texts = {name: gather(value) for name, value in module.texts(batch.cond).items()}
        products = gather(module.embed(batch.x)) @ gather(module.embed_text(batch.cond, n)).T
        n = len(products)
        losses = contrast(module.scale * products, same_texts(texts, n), have_text(texts, n))
        return Outcome(losses[moment.rows], None)


def contrast(logits: Tensor, same: Tensor, there: Tensor) -> Tensor:
    """Return the loss of each example, (B,).

    Arguments:
        logits: Products over the temperature (B, B), rows of examples, columns of texts.
        same: Which texts are equal, booleans (B, B).
        there: Which examples have a text, booleans (B,).
    """
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    kept = logits.masked_fill((same | ~there[:, None] | ~there) & ~own, -torch.inf)
    right = kept.diagonal()
    losses = (kept.logsumexp(1) + kept.logsumexp(0)) / 2 - right
    return torch.where(there, losses, 0.0 * losses)


def same_texts(texts: Condition, batch: int) -> Tensor:
    """Return which pairs of examples have equal texts, booleans (B, B), of the texts of a batch by name."""
    rows = torch.cat([torch.where(given(value), value, -1).reshape(batch, -1).double() for value in texts.values()], 1)
    number: Tensor = torch.unique(rows, dim=0, return_inverse=True)[1]
    return number[:, None] == number


def have_text(texts: Condition, batch: int) -> Tensor:
    """Return which examples have a text, booleans (B,), of the texts of a batch by name."""
    return torch.stack([given(value).reshape(batch, -1).any(1) for value in texts.values()]).any(0)
