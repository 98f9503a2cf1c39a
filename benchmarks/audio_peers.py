"""Audio networks of other libraries, in the loops of their users."""

from __future__ import annotations

import torch
from torch import Tensor, nn

README = {
    "in_channels": 1,
    "channels": [8, 32, 64, 128, 256, 512, 512, 1024, 1024],
    "factors": [1, 4, 4, 4, 2, 2, 2, 2, 2],
    "items": [1, 2, 2, 2, 2, 2, 2, 4, 4],
    "attentions": [0, 0, 0, 0, 0, 1, 1, 1, 1],
    "attention_heads": 8,
    "attention_features": 64,
}
"""What audio_diffusion_pytorch's README builds, for mono."""


class Unet1D:
    """denoising_diffusion_pytorch's network, in the loop of its Trainer1D (Adam, EMA at every tenth step)."""

    label = "denoising_diffusion_pytorch"

    def __init__(self, batch: int, length: int, device: str) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion1D
        from denoising_diffusion_pytorch import Unet1D as Network
        from ema_pytorch import EMA

        self.network = Network(64, dim_mults=(1, 2, 4, 8), channels=1)
        self.model = GaussianDiffusion1D(self.network, seq_length=length, objective="pred_v").to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, betas=(0.9, 0.99))
        self.ema = EMA(self.model, beta=0.995, update_every=10)
        self.x, self.t = torch.rand(batch, 1, length, device=device), torch.full((batch,), 500, device=device)

    def step(self) -> None:
        loss = self.model(self.x)
        loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()

    def evaluate(self) -> Tensor:
        with torch.no_grad():
            return self.network(self.x, self.t)


class UNetV0:
    """audio_diffusion_pytorch's network and diffusion, with AdamW and EMA."""

    label = "audio_diffusion_pytorch"

    def __init__(self, batch: int, length: int, device: str) -> None:
        from audio_diffusion_pytorch import DiffusionModel, VDiffusion, VSampler
        from audio_diffusion_pytorch import UNetV0 as Network
        from ema_pytorch import EMA

        self.model = DiffusionModel(net_t=Network, diffusion_t=VDiffusion, sampler_t=VSampler, **README).to(device)
        self.network = self.model.net
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.ema = EMA(self.model, beta=0.995, update_every=1)
        self.x, self.t = torch.randn(batch, 1, length, device=device), torch.full((batch,), 0.5, device=device)

    def step(self) -> None:
        loss = self.model(self.x)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()

    def evaluate(self) -> Tensor:
        with torch.no_grad():
            return self.network(self.x, self.t)
