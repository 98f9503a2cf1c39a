"""A state of two parts with tensors of your own: points in the plane and their labels, diffused together.

One network learns their joint law. It then draws pairs, labels of given points, and points of given labels.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff import SCHEDULES, Batch, Euclidean, Loss, Training, fit, stream, streams
from polydiff.contract.sections import OptimConfig
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import Product
from polydiff.gaussian.sampling.plan import grid, rows_on
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.joint.clock import GaussianLead, JointClock
from polydiff.parts.joint.coupling import Coupling
from polydiff.parts.joint.grid import Follower, JointGrid, gaussian_rows
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import JUMPS
from polydiff.parts.network import PartsNetwork
from polydiff.parts.objective import PartsObjective
from polydiff.parts.sampling.execute import Held, sample_parts
from polydiff.parts.schedule import LEVEL_SCHEDULES

CENTRES = torch.tensor([[-1.2, -0.7], [1.2, -0.7], [0.0, 1.4]])
SHARES = torch.tensor([0.5, 0.3, 0.2])
SPREAD = 0.25
SCHEDULE = SCHEDULES["edm"]()
KERNELS = {"point": GaussianKernel(SCHEDULE, "edm", Loss()), "label": LetterKernel(len(SHARES))}


def space(n: int) -> Product:
    """Return the space of n points with labels."""
    return Product({"point": Euclidean(n, (2,)), "label": LettersSpace(n, (1,), len(SHARES))})


def batch(step: int, n: int = 512) -> Batch:
    """Return the batch of a step."""
    generator = stream(0, "data", step)
    label = torch.multinomial(SHARES, n, replacement=True, generator=generator)
    point = CENTRES[label] + SPREAD * torch.randn(n, 2, generator=generator)
    return Batch({"point": point, "label": label[:, None]}, space(n))


class Network(nn.Module):
    """The two parts and the number of the noise level in, a target of the point and logits of the label out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 4 + 1, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2 + 3)
        )

    def forward(
        self, x: Mapping[str, Tensor], number: Tensor, space: Product, cond: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return {"point": (B, 2), "label": logits (B, 1, 3)}; the label 3 is the mask."""
        label = functional.one_hot(x["label"][:, 0], 4).to(number)
        out = self.layers(torch.cat([x["point"], label, number[:, None] / 4], 1))
        return {"point": out[:, :2], "label": out[:, None, 2:]}


clock = JointClock("point", GaussianLead(SCHEDULE, Loss()), {"label": LEVEL_SCHEDULES["linear"]})
coupling = Coupling({"same": 0.6, "given": 0.4}, ["point", "label"], {"point": SCHEDULE.sigma_max, "label": 1.0})
objective = PartsObjective(clock, {"point": "", "label": "simple"}, {"point": 1.0, "label": 1.0}, "point", coupling)
torch.manual_seed(0)
training = Training(PartsNetwork(Network(), KERNELS), objective, OptimConfig(lr=5e-3, decay="cosine"))
for record in fit(training, batch, steps=2000, batch_size=512, ema=0.99):
    if record.step % 500 == 0:
        print(f"step {record.step}: loss {record.loss:.3f}")

N = 2000
levels = grid(SCHEDULE, 30, "dpmpp_2m", None, 1.0, None, None)
follow = {"label": Follower("ancestral", JUMPS, {})}
rows = JointGrid(clock, *gaussian_rows(levels[0], rows_on(levels, "dpmpp_2m", 1.0)), follow).rows(1)
drawn = sample_parts(rows, training.ema, KERNELS, space(N), generators=streams(0, "sample", range(N)))
label = drawn["label"][:, 0]
shares = torch.bincount(label, minlength=3) / N
apart = (drawn["point"] - CENTRES[label]).norm(dim=1)
found, true = ([round(share, 3) for share in each.tolist()] for each in (shares, SHARES))
print(f"labels {found}, of the data {true}")
expected = SPREAD * (torch.pi / 2) ** 0.5
print(f"distance of points to the centre of their label {apart.mean():.3f}, of the data {expected:.3f}")

held = Held({"label": torch.full((N, 1), 2)}, {"label": torch.ones(1, dtype=torch.bool)})
given = sample_parts(rows, training.ema, KERNELS, space(N), generators=streams(1, "sample", range(N)), held=held)
mean = [round(m, 2) for m in given["point"].mean(0).tolist()]
print(f"points given the label 2: mean {mean}, centre of the data {[round(m, 2) for m in CENTRES[2].tolist()]}")
