"""A run on one page: curves, samples over training, real beside generated, what was measured, how to do it again.

The page is made from the files of the run's folder alone, so it can be made again on a machine that has neither the
data nor the domain. It fetches nothing, and its content security policy keeps it so whatever a domain's pictures hold.
All text is escaped; only a domain's own fragments (`show.html`, `views/*.html`) and scripts stand as they are, a script
once a page.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from polydiff.gallery.names import SHOW
from polydiff.gallery.page import script
from polydiff.gallery.sets import SCRIPTS
from polydiff.report.curves import SMOOTHING, training_curves
from polydiff.report.numbers import number
from polydiff.report.tables import SAMPLING, evaluation, read_evaluation
from polydiff.report.templates import rendered
from polydiff.report.views import View, views_of
from polydiff.run.folder import Run, check_own, step_of
from polydiff.run.reading import EMA, KNOWN, MODEL, STATE, read_manifest, read_shapes, read_state_file, read_text
from polydiff.support.files import quoted, write_atomic
from polydiff.support.nested import get_dotted
from polydiff.support.yaml_text import yaml_mapping

LIMIT = 5_000_000
"""Most bytes of a page."""


class Kind(NamedTuple):
    """What the page calls a run and what it makes.

    Attributes:
        what: The run.
        made: Heading of what it makes.
        sets: How the sets of it differ.
    """

    what: str
    made: str
    sets: str


DIFFUSION = Kind(
    "A diffusion model",
    "Generated",
    "Every set was drawn with the same seed, so from the same noise, by the network at another training step. No "
    "sample was selected.",
)
KINDS = {
    "encode": Kind(
        "An autoencoder",
        "Reconstructed",
        "Every set holds reconstructions of the same held-out examples, by the network at another training step.",
    ),
    "match": Kind("A contrastive pair", "Pair", ""),
}
"""Value of `learn` -> what the page calls the run."""


class SampleSet(NamedTuple):
    """Samples of one step, or real ones (step None)."""

    step: int | None
    html: Markup

    @property
    def title(self) -> str:
        """Name of the set in a sentence."""
        return "the real examples" if self.step is None else f"step {self.step:,}"

    @property
    def size(self) -> int:
        """Size on the page in bytes, including its frame."""
        return len(self.html.encode()) + 400


def write_report(path: Path) -> Path:
    """Write RUN/report.html, one self-contained page of at most 5 MB, and return its path.

    Arguments:
        path: The run's folder.

    Raises:
        UserError: The run does not exist, or one of its files is damaged.
    """
    check_own(path)
    run = Run.open(path)
    write_atomic(run.report, page(run))
    return run.report


def page(run: Run, limit: int = LIMIT) -> str:
    """Return the page's HTML, at most `limit` bytes; leave out sets of samples that do not fit, middle ones first."""
    records = list(run.records())
    parts = {
        **described(run, records),
        "curves": training_curves(records),
        "evaluation": evaluation(run),
        "commands": commands(run),
        "scripts": [script(read_text(path)) for path in sorted(run.samples(SCRIPTS).glob("*.js"))],
    }
    real, sets = sample_sets(run)
    step, views = views_of(run)
    parts |= {"views": views_within(views, limit // 2), "views_step": step}
    room = limit - len(render(parts, [], [*real, *sets]).encode())
    real_kept = [s for s in real if s.size <= room]
    kept = fitting([s.size for s in sets], room - sum(s.size for s in real_kept))
    shown = [*real_kept, *(sets[i] for i in kept)]
    return render(parts, shown, [s for s in (*real, *sets) if s not in shown])


def views_within(views: Sequence[View], room: int) -> list[tuple[View, Markup]]:
    """Return views in order, each with its HTML; if they do not all fit into `room` bytes, the smallest of them."""
    kept: list[View] = []
    for view in sorted(views, key=lambda view: view.size):
        if view.size <= room - sum(other.size for other in kept):
            kept.append(view)
    return [(view, Markup(view.html)) for view in views if view in kept]  # noqa: S704 - the domain's own HTML


def render(parts: Mapping[str, Any], shown: list[SampleSet], left_out: list[SampleSet]) -> str:
    """Return the page's HTML with the sets in `shown`, and the titles of those in `left_out`."""
    return rendered("polydiff.report", {**parts, "shown": shown, "left_out": left_out})


def fitting(sizes: Sequence[int], room: int) -> list[int]:
    """Return the indices of sets that fit into `room` bytes: evenly spaced with first and last, or the last alone."""
    n = len(sizes)
    for k in range(n, 0, -1):
        chosen = sorted({round(i * (n - 1) / (k - 1)) for i in range(k)}) if k > 1 else [n - 1]
        if sum(sizes[i] for i in chosen) <= room:
            return chosen
    return []


def described(run: Run, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of the page's head and of its section on configuration; `records`: lines of metrics.jsonl."""
    config, state = settings(run), newest_state(run)
    latest = records[-1] if records else state
    facts = {
        "Data": words(config, "data.name", "data.path"),
        "Network": ", ".join(filter(None, [words(config, "backbone.name"), weights(run)])),
        "Process": process_words(config),
        "Depends on": "; ".join(
            f"{key}: {at['path']}, step {at['step']:,}" for key, at in state.get("parents", {}).items()
        ),
        "Training time": duration(latest.get("seconds")),
        "Speed": f"{number(speed):.3g} examples a second" if (speed := latest.get("examples_per_second")) else "",
        "Seed": words(config, "seed"),
        "Device": words(state, "environment.device"),
        "Date": words(state, "environment.date").replace("T", " ").replace("+00:00", " UTC"),
        "Versions": ", ".join(
            f"{name} {version}" for name, version in (get_dotted(state, "environment.versions") or {}).items()
        ),
    }
    return {
        "kind": KINDS.get(words(config, "learn"), DIFFUSION),
        "name": run.path.resolve().name,
        "place": quoted(run.path),
        "domain": words(config, "domain") or "an unknown domain",
        "preset": words(config, "preset"),
        "step": max(int(at.get("step", 0)) for at in (latest, state)),
        "planned": get_dotted(config, "train.steps"),
        "facts": {name: value for name, value in facts.items() if value},
        "input": read_text(run.input),
        "resolved": commented(read_text(run.resolved)),
        "smoothing": round(100 * SMOOTHING),
    }


def settings(run: Run) -> dict[str, Any]:
    """Return the resolved configuration; {} if the file is missing."""
    return yaml_mapping(read_text(run.resolved), str(run.resolved))


def words(config: Mapping[str, Any], *keys: str) -> str:
    """Return the values of dotted keys that are set, separated by commas."""
    return ", ".join(str(value) for key in keys if (value := get_dotted(config, key)) is not None)


def process_words(config: Mapping[str, Any]) -> str:
    """Return the process as text; that of Gaussian diffusion with its schedule and target, keys that others ignore."""
    if (learn := words(config, "learn")) not in ("", "denoise"):
        return f"learn={learn}"
    process = words(config, "process") or "gaussian"  # a run from before there were others does not name it
    if process != "gaussian":
        return process
    return f"{process}, schedule={words(config, 'schedule')}, target={words(config, 'target')}"


def commented(source: str) -> list[tuple[str, str]]:
    """Return lines of YAML as (content, comment); the comment is the source of the value."""
    found = (re.fullmatch(r"(.*?)(  # [^#]*)?", line) for line in source.splitlines())
    return [(match[1], match[2] or "") for match in found if match]


def newest_state(run: Run) -> dict[str, Any]:
    """Return the state of the newest checkpoint; {} if there is no checkpoint."""
    path = run.newest
    return read_state_file(path, read_manifest(path, [STATE], KNOWN)) if path else {}


def weights(run: Run) -> str:
    """Return the number of weights as text, from the header of the newest checkpoint; "" if unknown."""
    checkpoint = run.newest
    name = MODEL if run.exported else EMA
    if checkpoint is None or not (checkpoint / name).exists():
        return ""
    shapes = read_shapes(checkpoint, name)
    return f"{sum(math.prod(shape) for shape in shapes.values()):,} weights"


def duration(seconds: Any) -> str:
    """Return a duration as text; "" for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(float(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def sample_sets(run: Run) -> tuple[list[SampleSet], list[SampleSet]]:
    """Return the set of real examples (a list of one, or empty) and the sets of samples, by ascending step."""
    real, steps = [], []
    for path in sorted(run.samples(".").glob(f"*/{SHOW}")):
        html = Markup(read_text(path))  # noqa: S704 - the domain's own HTML
        if path.parent.name == "real":
            real.append(SampleSet(None, html))
        elif (step := step_of(path.parent)) is not None:
            steps.append(SampleSet(step, html))
    return real, sorted(steps, key=lambda s: s.step or 0)


def commands(run: Run) -> list[tuple[str, str]]:
    """Return the commands that reproduce run, evaluation, samples and page, each with its effect."""
    result, place = read_evaluation(run), run.path.absolute()
    name, again = quoted(place), quoted(place.with_name(f"{place.name}-again"))
    found = [(f"polydiff train -c {quoted(run.resolved)} -o {again}", "the same run")]
    if result:
        several = [("guidance", f"{at['guidance']:g}") for at in result.get("by_guidance", [])]
        keys = [key for key in ("seed", "weights", *SAMPLING) if key in result and not (several and key == "guidance")]
        requested = [(key, result[key]) for key in keys] + several
        requested += [("cond", f"{key}={value}") for key, value in result.get("cond", {}).items()] + further_words(
            result
        )
        requested += [("features", result["features"])] if "features" in result else []
        options = [word for key, value in requested for word in (f"--{key}", str(value))]
        words = shlex.join(["-n", str(result.get("n")), *options])
        found.append((f"polydiff eval {name} {words}", "the numbers above"))
    if sample_sets(run)[1]:
        found.append((f"polydiff sample {name} -n 16", "more samples"))
    return [*found, (f"polydiff report {name}", "this page")]


OPTIONS = (
    ("option", "options"),
    ("spacing-option", "spacing_options"),
    ("guidance-option", "guidance_options"),
    ("negative", "negative"),
)
"""(Repeatable option of the command line, its key in evaluation.json)."""


def further_words(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (option, value) of the command line for the sampler options, spacing and guidance of an evaluation."""
    words = [(key.replace("_", "-"), result.get(key)) for key in ("spacing", "guidance_method", "guide")]
    if interval := result.get("guidance_interval"):
        words.append(("guidance-interval", ",".join(f"{level:g}" for level in interval)))
    for option, key in OPTIONS:
        words += [(option, f"{name}={value}") for name, value in result.get(key, {}).items()]
    return [(option, value) for option, value in words if value is not None]
