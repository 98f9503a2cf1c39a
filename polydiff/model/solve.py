"""Linear inverse problems with any trained model: examples of which a measurement is given.

    given = read(model, ["photo.png"])
    solve(model, given, "mean=4", noise=0.02)

An example is measured first, as a test on known examples does. `y` gives a measurement of one's own instead; files that
hold one are read by `read_measured`:

    blank, y = read_measured(model, "mean=4", ["small.png"])
    solve(model, blank, "mean=4", y=y)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Samples
from polydiff.contract.editing import HasMeasurements, Restores
from polydiff.contract.measurements import ReadsMeasured
from polydiff.core.conditions import is_known
from polydiff.core.entry import check_batch, check_states
from polydiff.core.process.abilities import Solves
from polydiff.core.process.process import lacks
from polydiff.core.process.sampling import Observed
from polydiff.core.space import Batch, Measurement
from polydiff.core.streams import streams
from polydiff.metrics.results import Metric
from polydiff.model.edit import check_no_codec, numbers_from
from polydiff.model.model import Model, check_model
from polydiff.model.origin import drawn
from polydiff.model.request import Request
from polydiff.model.restore import to_samples
from polydiff.model.user_conditions import requested_conditions
from polydiff.support.errors import UserError, as_paths, check_type, unknown
from polydiff.support.protocols import provides


def solve(
    model: Model,
    given: Batch,
    what: str | Measurement,
    *,
    y: Tensor | None = None,
    noise: float = 0.0,
    how: str = "moments",
    iterations: int | None = None,
    zeta: float | None = None,
    seed: int = 0,
    first: int = 0,
    cond: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Samples:
    """Return examples that agree with a linear measurement of given ones: y = A x + noise.

    Arguments:
        model: The model, trained to generate.
        given: Clean states, which are measured; if y is given, only their space and sizes are used.
        what: Measurement in the words of the domain, such as "grey" or "mean=4", or an operator of one's own.
        y: What the operator gave, in the scale of states; None: it is computed of the given states, and noise is added.
        noise: Standard deviation of the noise of each element of y, in the user's scale: 1 is the range of a pixel
            from black to white, or full scale of a sound.
        how: Method: "moments", "pigdm" or "dps" (docs/control.md).
        iterations: Largest number of iterations of the linear solver of pigdm and moments; None: the method's own.
        zeta: Size of the gradient step of dps; None: 0.3.
        seed: Of everything random.
        first: Number of the first example; its noise follows from the seed and this, not from the batch.
        cond: Requested conditions, as in `Model.sample`; those of the given examples are not used.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.

    Raises:
        UserError: The model or its domain cannot do it, or an argument is out of range.
    """
    check_model(model)
    check_batch(given, name="given")
    check_type("what", what, str | Measurement, "a measurement in words, such as 'mean=4', or a Measurement")
    indices = numbers_from(first, given)
    request = solving(model, how, {"iterations": iterations, "zeta": zeta}, sampling)
    operator = measurement_of(model, what, given)
    check_noise(noise)
    y = measure(operator, given, noise, seed, first) if y is None else y
    check_states(y, operator.space, name="y")
    whole = requested_conditions(model, given, cond, seed, indices)
    observed = Observed(operator, y, noise * operator.unit)
    x = request.states(given.space, whole, seed, indices, observed=observed)
    facts = {"measurement": what if isinstance(what, str) else "an operator", "noise": noise, "method": how}
    return to_samples(model, x, given, whole, drawn(model, request.how, seed, cond, **facts))


def solving(model: Model, how: str, options: Mapping[str, Any], sampling: Mapping[str, Any]) -> Request:
    """Return the request of a method, with the sampler and steps that it needs where the call sets none.

    Arguments:
        model: The model.
        how: Name of the method.
        options: Options of the method; None as a value: the method's own.
        sampling: Keys of the section `sample`; None as a value: the method's own, or as configured.

    Raises:
        UserError: The model's states are not whole examples, its process cannot do it, or there is no such method.
    """
    check_generates(model)
    check_no_codec(model, "solve inverse problems")
    process = model.process
    if not provides(process, Solves):
        raise lacks(process, "solve inverse problems")
    if how not in process.solvers:
        raise unknown("method", how, process.solvers)
    chosen = {name: value for name, value in options.items() if value is not None}
    keys = {**process.solvers[how], **{name: value for name, value in sampling.items() if value is not None}}
    return Request.of(model, keys, plan=lambda section: process.solving(model, section, how, chosen))


def check_generates(model: Model) -> None:
    """Raise UserError unless a model generates whole examples without a further form of them."""
    further = {name for name in task_conditions(model.domain) if not is_known(name)}
    if further:
        raise UserError(
            f"The model was trained with task={getattr(model.config, 'task', '')}, and is conditioned on "
            f"{', '.join(sorted(further))}. Inverse problems need a run of task=generate or inpaint."
        )


def check_noise(noise: float) -> None:
    """Raise UserError unless a standard deviation is at least 0 and finite."""
    if not 0 <= noise < float("inf"):
        raise UserError(f"noise must be a finite number of at least 0, not {noise}.")


def measurement_of(model: Model, what: str | Measurement, given: Batch) -> Measurement:
    """Return a measurement of given examples; raise UserError if the domain has none, or not this one."""
    if not isinstance(what, str):
        return what
    domain = model.domain
    if not provides(domain, HasMeasurements):
        raise UserError(
            f"The domain {model.config.domain} has no measurements of its examples. `polydiff.solve` in Python takes "
            "an operator of your own."
        )
    return domain.measurement(what, given)


def read_measured(model: Model, what: str, paths: Sequence[Path | str] | Path | str) -> tuple[Batch, Tensor]:
    """Return files that are measurements already: states of the sizes that they measure, all 0, and y.

    Arguments:
        model: Its domain reads the files.
        what: The measurement, in the words of the domain.
        paths: Files of one size, or one file.

    Raises:
        UserError: The domain reads no measurements, or a file has not the size that the measurement gives.
    """
    domain = model.domain
    if not provides(domain, ReadsMeasured):
        raise UserError(f"The domain {model.config.domain} reads no measurements from files.")
    return domain.read_measured(what, as_paths(paths))


def measure(operator: Measurement, given: Batch, noise: float, seed: int, first: int) -> Tensor:
    """Return y = A x + noise of given examples.

    Arguments:
        operator: The measurement.
        given: Clean states.
        noise: Standard deviation of the noise, in the user's scale.
        seed: Of the noise.
        first: Number of the first example.
    """
    y = operator.forward(given.x)
    if noise == 0:
        return y
    drawn = operator.space.noise(streams(seed, "measurement", range(first, first + given.space.batch)))
    return y + noise * operator.unit * drawn.to(y)


def simple_estimate(
    model: Model,
    given: Batch,
    what: str | Measurement,
    *,
    y: Tensor | None = None,
    noise: float = 0.0,
    seed: int = 0,
    first: int = 0,
) -> Samples:
    """Return what `solve` is given, as examples: the estimate of a simple method (`Measurement.simple`).

    Arguments:
        model: Its domain decodes the states.
        given: Clean states.
        what: The measurement.
        y: What it gave; None: it is computed of the given states.
        noise: Standard deviation of the noise, in the user's scale.
        seed: Of the noise.
        first: Number of the first example.
    """
    operator = measurement_of(model, what, given)
    y = measure(operator, given, noise, seed, first) if y is None else y
    return to_samples(model, operator.estimate(y), given, None)


def compared(model: Model, made: Samples, simple: Samples, truth: Samples) -> dict[str, dict[str, Metric]]:
    """Return the distances of solutions ("value") and simple estimates ("baseline") to the true examples.

    {} if the domain compares no examples.
    """
    domain = model.domain
    if not provides(domain, Restores):
        return {}
    return {"value": domain.compare(made, truth), "baseline": domain.compare(simple, truth)}
