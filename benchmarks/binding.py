"""Steps until a text encoder binds relations to nouns: python benchmarks/binding.py.

Captions of two and three shapes say which thing is on which side of which. Four learned queries, one a side, attend to
the encoder's tokens, and a small perceptron tells the colour of the thing on that side, as a network that paints the
scene must. As in the training of a diffusion, what it learns from is noisy: one-hot vectors of the colours with
Gaussian noise of standard deviation 1. The table has the share of right colours after so many steps of 32 captions.
"""

from __future__ import annotations

import torch
from timing import markdown, parser
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.text import TextEncoder
from polydiff.contract.sections.network import TextConfig
from polydiff.core.conditions import Text
from polydiff.domains.image.shapes.dataset import Shapes
from polydiff.domains.image.shapes.scene import COLOURS, RELATIONS

COLOUR = {name: i for i, name in enumerate(COLOURS)}
OPPOSITE = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))
NONE = len(COLOURS)
WIDTH, HEADS, BATCH, TESTED, LR = 256, 4, 32, 1000, 1.5e-3
STEPS = (250, 500, 1000, 2000)


def captions(n: int) -> tuple[Tensor, Tensor, Text]:
    """Return tokens of n captions (n, L), the colour on each side (n, 4), and the kind of the tokens."""
    shapes = Shapes(counts=(2, 3))
    words: dict[str, int] = {}
    rows, sides = [], []
    for i in range(n):
        spec, caption = shapes.captioned(shapes.draw(i)[0], i, "train")
        rows.append([words.setdefault(word, len(words)) for word in caption.split()])
        side = dict.fromkeys(RELATIONS, NONE)
        for relation, thing in zip(spec.relations, spec.things[1:], strict=True):
            side |= {relation: COLOUR[spec.things[0].colour], OPPOSITE[relation]: COLOUR[thing.colour]}
        sides.append([side[name] for name in RELATIONS])
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [-1] * (longest - len(row)) for row in rows])
    return tokens, torch.tensor(sides), Text(len(words), longest)


class Reader(nn.Module):
    """An encoder of texts, four queries that attend to its tokens, and the colours that they find."""

    def __init__(self, kind: Text, config: TextConfig) -> None:
        super().__init__()
        self.encoder, self.norm = TextEncoder(kind, WIDTH, config), nn.LayerNorm(WIDTH)
        self.queries = nn.Parameter(0.05 * torch.randn(1, len(RELATIONS), WIDTH))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, NONE + 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of colours (B, 4, 9) of captions (B, L)."""
        found, there = self.encoder(tokens)
        found = self.norm(found)
        queries = self.queries.expand(len(tokens), -1, -1)
        read, _ = self.attention(queries, found, found, key_padding_mask=~there, need_weights=False)
        scores: Tensor = self.head(read)
        return scores


def learned(config: TextConfig, tokens: Tensor, sides: Tensor, kind: Text) -> list[float]:
    """Return the share of right colours of captions that training did not show, after each of `STEPS`."""
    torch.manual_seed(0)
    reader = Reader(kind, config)
    optimizer = torch.optim.AdamW(reader.parameters(), LR, betas=(0.9, 0.99), weight_decay=0.0)
    target = functional.one_hot(sides, NONE + 1).float()
    train, shares = len(tokens) - TESTED, []
    for step in range(1, max(STEPS) + 1):
        chosen = torch.randint(0, train, (BATCH,))
        noisy = target[chosen] + torch.randn(BATCH, *target.shape[1:])
        optimizer.zero_grad()
        (reader(tokens[chosen]) - noisy).square().mean().backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step in STEPS:
            with torch.no_grad():
                right = reader(tokens[train:])[..., :NONE].argmax(-1) == sides[train:]
            shares.append(float(right[sides[train:] < NONE].float().mean()))
    return shares


def main() -> None:
    """Print the table."""
    torch.set_num_threads(parser(__doc__).parse_args().threads)
    tokens, sides, kind = captions(12_000)
    rows = [
        [f"`backbone.text.kernel={kernel}`", *(f"{share:.2f}" for share in learned(config, tokens, sides, kind))]
        for kernel, config in ((k, TextConfig(kernel=k)) for k in (0, 5, 9))
    ]
    print(markdown([["encoder", *(f"{step} steps" for step in STEPS)], *rows]))


if __name__ == "__main__":
    main()
