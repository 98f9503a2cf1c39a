"""Audio networks of other libraries, in the loops of their users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from image_peers import Lucidrains
from torch import Tensor, nn

README: dict[str, Any] = {
    "in_channels": 1,
    "channels": [8, 32, 64, 128, 256, 512, 512, 1024, 1024],
    "factors": [1, 4, 4, 4, 2, 2, 2, 2, 2],
    "items": [1, 2, 2, 2, 2, 2, 2, 4, 4],
    "attentions": [0, 0, 0, 0, 0, 1, 1, 1, 1],
    "attention_heads": 8,
    "attention_features": 64,
}
"""What audio_diffusion_pytorch's README builds, for mono."""


SMALL = {
    **README,
    "channels": [8, 32, 64, 128, 256, 256],
    "factors": [1, 4, 4, 4, 2, 2],
    "items": [1, 2, 2, 2, 2, 2],
    "attentions": [0, 0, 0, 0, 1, 1],
}
"""The same without its last three levels and half as wide, for sounds of a few thousand samples."""


class Unet1D(Lucidrains):
    """denoising_diffusion_pytorch's network, in the loop of its Trainer1D (Adam, EMA at every tenth step).

    Arguments:
        batch: Examples of the batch that is timed.
        length: Samples of a sound.
        device: Of the network.
        dim: Channels of its first level.
        rate: Learning rate.
        evaluations: Of sampling; None: its own default, 1000.
    """

    label = "denoising_diffusion_pytorch"

    def __init__(
        self, batch: int, length: int, device: str, dim: int = 64, rate: float = 1e-4, evaluations: int | None = None
    ) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion1D
        from denoising_diffusion_pytorch import Unet1D as Network

        self.network = Network(dim, dim_mults=(1, 2, 4, 8), channels=1)
        made = GaussianDiffusion1D(self.network, seq_length=length, objective="pred_v", sampling_timesteps=evaluations)
        super().__init__(made.to(device), rate)
        self.x, self.t = torch.rand(batch, 1, length, device=device), torch.full((batch,), 500, device=device)

    def step(self, x: Tensor | None = None) -> None:
        """Train on sounds (B, 1, L) in [0, 1]; None: on noise, to be timed."""
        super().step(self.x if x is None else x)

    def evaluate(self) -> Tensor:
        """Return an evaluation of the network."""
        with torch.no_grad():
            return self.network(self.x, self.t)


class UNetV0:
    """audio_diffusion_pytorch's network and diffusion, with AdamW and EMA.

    Arguments:
        batch: Examples of the batch that is timed.
        length: Samples of a sound.
        device: Of the network.
        config: Of the network.
        rate: Learning rate.
    """

    label = "audio_diffusion_pytorch"

    def __init__(
        self, batch: int, length: int, device: str, config: Mapping[str, Any] = README, rate: float = 1e-4
    ) -> None:
        from audio_diffusion_pytorch import DiffusionModel, VDiffusion, VSampler
        from audio_diffusion_pytorch import UNetV0 as Network
        from ema_pytorch import EMA

        self.model = DiffusionModel(net_t=Network, diffusion_t=VDiffusion, sampler_t=VSampler, **config).to(device)
        self.network = self.model.net
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate)
        self.ema = EMA(self.model, beta=0.995, update_every=1)
        self.x, self.t = torch.randn(batch, 1, length, device=device), torch.full((batch,), 0.5, device=device)

    def step(self, x: Tensor | None = None) -> None:
        """Train on sounds (B, 1, L) in [-1, 1]; None: on noise, to be timed."""
        loss = self.model(self.x if x is None else x)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()

    def sample(self, n: int, evaluations: int) -> Tensor:
        """Return n sounds of the averaged weights, (n, 1, L)."""
        noise = torch.randn(n, *self.x.shape[1:], device=self.x.device)
        drawn: Tensor = self.ema.ema_model.eval().sample(noise, num_steps=evaluations)
        return drawn

    def evaluate(self) -> Tensor:
        """Return an evaluation of the network."""
        with torch.no_grad():
            return self.network(self.x, self.t)
