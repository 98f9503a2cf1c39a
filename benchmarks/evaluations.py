"""What a domain's judges say of samples, against evaluations of the network and samplers.

    python benchmarks/evaluations.py RUN [--metrics pitch_accuracy in_tune] [--budgets 10 20 50] [-n 256] [--record]

Each number is that of `polydiff eval RUN -n N --sampler NAME --steps S`, with the largest S at which the network is
evaluated at most as often for a sample as the column says, guidance included; the last column is real data by the same
judges.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timing import markdown, parser, show

from polydiff.judging.evaluate import evaluate
from polydiff.model.model import Model

BUDGETS = (5, 10, 20, 50)
SAMPLERS = ("auto", "dpmpp_2m_sde", "heun")


def figure(value: float | None) -> str:
    """Return a number as a table shows it."""
    return "" if value is None else f"{value:.4g}"


def steps_within(model: Model, budget: int, **how: Any) -> int:
    """Return the most steps that take at most so many evaluations, at least 1; the budget if their number varies."""
    return next(
        n for n in range(budget, 0, -1) if n == 1 or (model.evaluations(model.plan(steps=n, **how)) or 0) <= budget
    )


def judged(model: Model, n: int, guidance: float, budget: int, sampler: str) -> dict[str, Any]:
    """Return the metrics of samples by so many evaluations of the network."""
    how: dict[str, Any] = {"sampler": sampler, "guidance": guidance}
    metrics: dict[str, Any] = evaluate(model, n, steps=steps_within(model, budget, **how), **how)["metrics"]
    return metrics


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("run", type=Path)
    reader.add_argument("--metrics", nargs="+", help="default: all")
    reader.add_argument("-n", type=int, default=256, help="samples; default: 256")
    reader.add_argument("--guidance", type=float, default=1.0)
    reader.add_argument("--budgets", nargs="+", type=int, default=BUDGETS, help="default: 5 10 20 50")
    reader.add_argument("--samplers", nargs="+", default=SAMPLERS, help="default: auto dpmpp_2m_sde heun")
    args = reader.parse_args()
    model = Model.load(args.run, device=args.device)
    found = {
        (sampler, budget): judged(model, args.n, args.guidance, budget, sampler)
        for sampler in args.samplers
        for budget in args.budgets
    }
    names = args.metrics or list(next(iter(found.values())))
    rows = [["metric", "sampler", *map(str, args.budgets), "real data"]]
    for name in names:
        for sampler in args.samplers:
            values = [found[sampler, budget][name] for budget in args.budgets]
            rows.append([name, sampler, *(figure(v["value"]) for v in values), figure(values[0]["data"])])
    config = model.config
    about = f"{config.domain}, preset {config.preset}, step {model.step}, guidance {args.guidance:g}, {args.n} samples:"
    show("Judges against evaluations of the network", f"{about}\n\n{markdown(rows)}", args)


if __name__ == "__main__":
    main()
