"""A network of real planes as one of letters: letters enter as one-hot vectors, and logits leave.

With patches of one place, the diffusion transformer is then the usual transformer of sequences: its first layer is an
embedding of letters, and its last one maps to logits.

Symbols: B batch, C channels, K letters of the data, grid the axes of a plane.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.conditions import Condition
from polydiff.core.space import Space


def one_hot_channels(letters: int, channels: int = 1) -> int:
    """Return the number of channels that `OneHot` needs: C (K + 1), with one letter for what is masked.

    Arguments:
        letters: K.
        channels: C.
    """
    return channels * (letters + 1)


class OneHot(nn.Module):
    """Logits of letters by a network whose input and output have `one_hot_channels`.

    Arguments:
        network: Called as network(x, level, space, cond) on real planes (B, C (K + 1), *grid), as `build_backbone`
            returns it.
        letters: K.
        grid: Number of axes of a plane: 1 for sequences, 2 for images.
    """

    def __init__(self, network: nn.Module, letters: int, grid: int) -> None:
        super().__init__()
        self.network, self.letters, self.grid = network, letters, grid

    def forward(self, x: Tensor, level: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        """Return logits (B, *grid, K), or (B, C, *grid, K) if the state has channels.

        Arguments:
            x: Letters 0 .. K, where K is the mask, and -1 outside all sites, int64 (B, *grid) or (B, C, *grid).
            level: What the process says of the noise level, (B,).
            space: Where x lives.
            cond: Conditions; None: none.
        """
        bare = x.ndim == self.grid + 1
        planes = x[:, None] if bare else x
        hot = functional.one_hot(planes.clamp(min=0), self.letters + 1) * (planes >= 0)[..., None]
        real = rearrange(hot.to(level.dtype), "b c ... k -> b (c k) ...")
        out: Tensor = self.network(real, level, space, cond)
        logits = rearrange(out, "b (c k) ... -> b c ... k", k=self.letters + 1)[..., : self.letters]
        return logits[:, 0] if bare else logits

    def compile(self, *arguments: object, **options: object) -> None:
        """Compile the network within (`torch.nn.Module.compile`)."""
        self.network.compile(*arguments, **options)
