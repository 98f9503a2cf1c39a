"""Tables of results of verbs, on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polydiff.report.numbers import figures, with_error
from polydiff.support.errors import amount

PARTS = {"data": "wait for data", "forward": "forward, loss", "optimizer": "clip, optimizer", "ema": "averages"}
"""Parts of a training step, as a profile shows them."""
OVERFIT_ADVICE = "not passed. If the loss stays high{}, try more steps (--overfit-one-batch 1000) or another optim.lr."
"""What to try if a model does not overfit one batch."""
OVERFIT_LEVELS = (
    " If it stays high at low log-SNR (noise) only, loss.times does not cover these levels. If it stays high at high "
    "log-SNR only, samples will have hiss or grain. If the loss is low and samples are far off, try more sample.steps "
    "or a higher schedule_options.sigma_max."
)
"""What else to try if the loss is known at each noise level."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print rows under column headings; columns named in `right` are right-aligned."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    emit(grid)


def emit(grid: Table) -> None:
    """Print a table on stdout, without trailing spaces."""
    console = Console(markup=False, highlight=False)
    with console.capture() as text:
        console.print(grid)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


def evaluation_table(result: Mapping[str, Any]) -> None:
    """Print an evaluation: each metric of samples, baseline, real data and noise, then its meaning."""
    numbers_table(result)
    explanations([result])


def numbers_table(result: Mapping[str, Any]) -> None:
    """Print how an evaluation was made, and each metric of samples, baseline, real data and noise."""
    what = result.get("what", "samples")
    real = f", {amount(result['n_data'], 'real example')}" if "n_data" in result else ""
    made = f"{sampling_words(result)}, " if "sampler" in result else ""
    weights = f"step {result['step']}, {result['weights']} weights"
    print(f"{amount(result['n'], what.removesuffix('s'))}{real}, {weights}, {made}seed {result['seed']}")
    print(f"{versions_line(result)}\n")
    metrics = result["metrics"]
    parts = {"value": what, "baseline": "baseline", "data": "real data", "noise": "noise"}
    if not result.get("baseline"):
        del parts["baseline"]
    counted = any("n" in row for row in metrics.values())
    errors = {"value": "value_error", "baseline": "baseline_error"}  # more would not fit a terminal
    rows = [
        (
            name,
            *(narrow(row.get(part), row.get(errors.get(part))) for part in parts),
            *([row.get("n", "")] if counted else []),
            row["unit"],
            row["better"],
        )
        for name, row in metrics.items()
    ]
    columns = [*parts.values(), *(["n"] if counted else [])]
    table(("metric", *columns, "unit", "better"), rows, right=columns)
    print()
    if "baseline" in parts:
        print(f"The baseline is {result['baseline']}.\n")


def explanations(results: Sequence[Mapping[str, Any]]) -> None:
    """Print what the metrics of evaluations mean, each once."""
    rows = {name: row for result in reversed(results) for name, row in result["metrics"].items()}
    every = [row for result in results for row in result["metrics"].values()]
    what = "standard error over sets of samples of the same model; evaluation.json holds that of every column"
    legend = [("±", what)] if any(key in row for row in every for key in ("value_error", "baseline_error")) else []
    legend += (
        [("n", "number of samples that the metric is measured on; evaluation.json holds that of columns with another")]
        if any("n" in row for row in every)
        else []
    )
    table(("how to read", ""), [*((name, row["meaning"]) for name, row in rows.items()), *legend])


def sampling_words(result: Mapping[str, Any]) -> str:
    """Return how the samples of an evaluation were drawn, with the options of the sampler that are set."""
    options = "".join(f", {name}={value}" for name, value in result.get("options", {}).items())
    if not result["evaluations"]:
        return f"{result['sampler']}{options}, its own number of steps"
    calls = f"{amount(result['steps'], 'step')} ({amount(result['evaluations'], 'evaluation')})"
    return f"{result['sampler']}{options}, {calls}"


def comparison_table(facts: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the distances of solutions, and of a simple method's estimates, to the true examples.

    Arguments:
        facts: The measurement, its noise, the method, the number of examples, the first one and the seed.
        metrics: Name -> "value", "baseline" and what the metric means.
    """
    print(
        f"{facts['n']} held-out examples from number {facts['first']} on, measured by {facts['measurement']} with "
        f"noise {facts['noise']:g}; {facts['method']}, seed {facts['seed']}\n"
    )
    parts = {"value": "solved", "baseline": "simple"}
    rows = [
        (name, *(narrow(row[part], None) for part in parts), row["unit"], row["better"])
        for name, row in metrics.items()
    ]
    table(("metric", *parts.values(), "unit", "better"), rows, right=list(parts.values()))
    print(f"\nThe simple method is {facts['simple']}.\n")


def guidance_table(result: Mapping[str, Any]) -> None:
    """Print the metrics of samples at each guidance weight beside those of real data; nothing for one weight."""
    weights = result.get("by_guidance", [])
    if not weights:
        return
    columns = [f"{at['guidance']:g}" for at in weights]
    rows = [
        (
            name,
            *(narrow(at["metrics"][name].get("value"), at["metrics"][name].get("value_error")) for at in weights),
            narrow(row.get("data"), None),
            row["better"],
        )
        for name, row in result["metrics"].items()
    ]
    calls = ", ".join(str(at["evaluations"] or "its own number") for at in weights)
    print(
        f"\nBy guidance weight: {amount(result['n'], 'sample')} each, of the same conditions and noise, "
        f"seed {result['seed']}; evaluations of the network per sample: {calls}\n"
    )
    table(("metric", *columns, "real data", "better"), rows, right=(*columns, "real data"))


def versions_line(result: Mapping[str, Any]) -> str:
    """Return the package versions of an evaluation, on one line."""
    return ", ".join(f"{name} {version}" for name, version in result["environment"]["versions"].items())


def likelihood_table(result: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    """Print bounds on -log p of held-out examples, in nats per example and per dimension, and in bits per dimension."""
    found = result["likelihood"]
    unit = f"density in {result['unit']}" if result["unit"] else "all numbers discrete"
    if "part_units" in result:
        unit = ", ".join(f"{name}: {each}" for name, each in result["part_units"].items())
    print(
        f"-log p of {result['n']} of {result['n_test']} held-out examples at step {result['step']}, "
        f"{result['weights']} weights, seed {result['seed']}; "
        f"{result['dimensions']:.4g} dimensions on average, {unit}\n"
    )
    columns = ("bound", "nats", "nats/dim", "bits/dim", "evaluations")
    rows = [
        (
            kind,
            with_error(row["nats"], row["nats_error"], digits=2),
            with_error(row["nats_per_dim"], row["nats_per_dim_error"], digits=2),
            with_error(row["bits_per_dim"], row["bits_per_dim_error"], digits=2),
            f"{row['evaluations']:.0f}",
        )
        for kind, row in found.items()
    ]
    if floor := result.get("floor"):
        nats, each, bits = (figures(floor[name]) for name in ("nats", "nats_per_dim", "bits_per_dim"))
        rows.append(("floor", nats, each, bits, ""))
        meanings = {**meanings, "floor": "the entropy of the data, whose law is known: no bound is lower in the mean"}
    table(columns, rows, right=columns[1:])
    print()
    parts = {kind: [(name, v) for name, v in row["parts"].items() if abs(v) > 1e-9] for kind, row in found.items()}
    table(
        ("bound", "terms in nats"),
        [(k, ", ".join(f"{name} {figures(v)}" for name, v in of)) for k, of in parts.items()],
    )
    print()
    table(("how to read", ""), [*meanings.items(), ("±", "standard error of the mean over the examples")])


def profile_table(result: Mapping[str, Any]) -> None:
    """Print a profile: the time of each part of a step, the costliest operators, memory and speed."""
    seconds = result["seconds"]
    print(
        f"{1e3 * seconds:.1f} ms per step, mean of {amount(result['steps'], 'step')}: "
        f"batch of {result['batch size']}, {result['parameters']:,} parameters, {result['precision']} "
        f"on {result['device']}, {result['threads']} threads\n"
    )
    if result["processes"] > 1:
        print(
            f"{result['processes']} processes: {result['outside']:.1%} of a step is outside computation (waiting, and "
            "the exchange of gradients that it does not hide); the rest is of the first process\n"
        )
    parts = [(PARTS.get(name, name), *time_and_share(part, seconds)) for name, part in result["parts"].items()]
    table(("part", "ms", "share"), parts, right=("ms", "share"))
    print()
    rows = [(row["name"], f"{row['calls']:g}", *time_and_share(row["seconds"], seconds)) for row in result["operators"]]
    table(("operator", "calls", "ms", "share"), rows, right=("calls", "ms", "share"))
    print(f"\ntraining memory     {result['memory']:.0f} MiB")
    print(f"FLOP per step       {result['flop'] / 1e9:.4g} GFLOP (products and convolutions, forward and backward)")
    print(f"forward, backward   {result['flops'] / 1e9:.4g} GFLOP/s")
    for name, speed in result["machine"].items():
        print(f"  of {name + ' here':<17}{result['flops'] / speed:.0%} of {speed / 1e9:.4g} GFLOP/s")
    print(f"\nTrace: {result['trace']} (open it in https://ui.perfetto.dev or chrome://tracing)")


def overfit_table(result: Mapping[str, Any]) -> None:
    """Print the losses and checks of overfitting one batch."""
    print(f"{amount(result['examples'], 'example')}, {amount(result['steps'], 'step')}\n")
    rows = [(f"{row['log_snr']:g}", f"{row['before']:.3g}", f"{row['after']:.3g}") for row in result["levels"]]
    rows.append(("all", f"{result['before']:.3g}", f"{result['after']:.3g}"))
    columns = ("log-SNR", "loss before", "after")
    table(columns, rows, right=columns)
    print()
    if result["off"] is not None:
        print(f"squared distance of samples to the nearest example: {result['off']:.2%} of that between examples")
    if result["sampler"] is not None:
        print(
            f"standard deviation of samples of N(0, 1) from the sampler and the exact denoiser: {result['sampler']:.3f}"
        )
    levels = bool(result["levels"])
    advice = OVERFIT_ADVICE.format(" at all log-SNR" if levels else "") + (OVERFIT_LEVELS if levels else "")
    print("passed" if result["passed"] else advice)


def time_and_share(seconds: float, total: float) -> tuple[str, str]:
    """Return a time in ms and its share of a step, as text."""
    return f"{1e3 * seconds:.2f}", f"{seconds / total:.1%}"


def narrow(value: Any, error: Any) -> str:
    """Return a number and its standard error without spaces, so that the table fits a terminal."""
    return with_error(value, error).replace(" ", "")
