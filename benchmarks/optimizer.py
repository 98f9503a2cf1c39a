"""What updates of the weights cost apart from the network: clipping, AdamW and the moving average, each in its forms.

    python benchmarks/optimizer.py [--parameters 35.7] [--rounds 9] [--record]

The parameters are those of a U-Net of ddpm-cifar10's size, 35.7 million in 300 tensors. polydiff's form is the last of
each table. "loop" goes over the tensors one by one, "foreach" hands all to one call.
"""

from __future__ import annotations

import torch
from timing import in_turns, parser, show, timing_table
from torch import Tensor

TENSORS = 300


def clip_by_loop(gradients: list[Tensor]) -> None:
    """Clip to norm 1 with one number read from the device for each tensor."""
    norm = sum(g.norm().item() ** 2 for g in gradients) ** 0.5
    for g in gradients:
        g.mul_(min(1.0, 1 / (norm + 1e-6)))


def average_by_loop(averages: list[Tensor], weights: list[Tensor]) -> None:
    """Move each average towards its weight."""
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, 0.001)


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("--parameters", type=float, default=35.7, help="million; default: 35.7")
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    each = round(args.parameters * 1e6 / TENSORS)
    weights = [torch.rand(each, device=args.device).requires_grad_() for _ in range(TENSORS)]
    for w in weights:
        w.grad = torch.rand_like(w)
    plain, averages = [w.detach() for w in weights], [w.detach().clone() for w in weights]
    gradients = [w.grad for w in weights if w.grad is not None]

    def adamw(**form: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(weights, lr=1e-6, weight_decay=0.0, **form)  # type: ignore[arg-type]

    def clip(foreach: bool | None) -> Tensor:
        return torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=foreach)

    tables = {
        "clip the gradient": {
            "loop, a number read for each tensor": lambda: clip_by_loop(gradients),
            "clip_grad_norm_, loop": lambda: clip(False),
            "clip_grad_norm_, foreach": lambda: clip(True),
        },
        "AdamW": {
            "loop": adamw(foreach=False).step,
            "foreach": adamw(foreach=True).step,
            "fused": adamw(fused=True).step,
        },
        "moving average": {
            "loop": lambda: average_by_loop(averages, plain),
            "foreach": lambda: torch._foreach_lerp_(averages, plain, 0.001),
        },
    }
    text = [timing_table(title, in_turns(forms, args.rounds, args.device)) for title, forms in tables.items()]  # type: ignore[arg-type]
    show(f"Updates of {args.parameters:g} million parameters", "\n".join(text), args)


if __name__ == "__main__":
    with torch.no_grad():
        main()
