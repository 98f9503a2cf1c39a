"""The core alone, with tensors of your own: points on a ring, any network, a training loop, samples."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polydiff import SCHEDULES, Batch, Denoiser, Euclidean, Space, Training, fit, sample, stream, streams
from polydiff.contract.sections import OptimConfig


def ring(n: int, step: int) -> Tensor:
    """Return n points (n, 2) at distance sqrt(2) from the origin, so that each coordinate has unit variance."""
    angle = 2 * torch.pi * torch.rand(n, generator=stream(0, "ring", step))
    return 2**0.5 * torch.stack([angle.cos(), angle.sin()], 1)


class Network(nn.Module):
    """Any module of this signature: a state of unit variance and the log of its noise level in, a state out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return a tensor like x (B, 2), from log_sigma (B,)."""
        out: Tensor = self.layers(torch.cat([x, log_sigma[:, None] / 4], 1))
        return out


def batch(step: int) -> Batch:
    """Return the batch of a step: a pure function of the step, so that training can be resumed."""
    return Batch(ring(512, step), Euclidean(512, (2,)))


torch.manual_seed(0)
training = Training(Denoiser(Network(), SCHEDULES["edm"](), target="edm"), optim=OptimConfig(lr=5e-3, decay="cosine"))
for record in fit(training, batch, steps=1000, batch_size=512, ema=0.99):
    if record.step % 200 == 0:
        print(f"step {record.step}: loss {record.loss:.3f}")

points = sample(training.ema, Euclidean(1000, (2,)), generators=streams(0, "sample", range(1000)), steps=20)
radius = points.norm(dim=1) / 2**0.5
print(f"radius {radius.mean():.3f} +- {radius.std():.3f}, of the data 1.000 +- 0.000")
