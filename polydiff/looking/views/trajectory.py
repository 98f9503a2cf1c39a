"""The way from noise to samples, with the estimate of the clean example at each noise level."""

from __future__ import annotations

from collections.abc import Sequence

from polydiff.config.processes import states_of
from polydiff.contract.domain import Domain
from polydiff.core.process.abilities import LeavesUnused
from polydiff.looking.fragments import film, fitting, show, table
from polydiff.looking.subject import EXAMPLES, Subject, Unable, level_name
from polydiff.model.request import Request
from polydiff.model.trace import Scene, trace
from polydiff.report.views import View
from polydiff.support.errors import amount
from polydiff.support.protocols import provides

TITLE = "From noise to samples"
LEVELS, FRAMES = 8, 24
"""Largest numbers of moments that are shown as stills, and as frames of a film."""
FILM_BYTES, ROOM = 1_200_000, 800_000
"""Largest sizes of a film and of the stills; those of fewer samples, or without some frames, are smaller."""
REAL = (
    "Left: the noisy state, divided by its spread so that it can be seen. Right: what the network expects the clean "
    "example to be, given that state. It begins near the mean of all examples of the condition and gains detail as the "
    "noise falls."
)
LETTERS = (
    "A level is the share of an example that is lost. Left: the state, of which lost parts are masked or replaced. "
    "Right: what is most probable at each place, given that state. Places are judged one by one, so the guess need not "
    "be an example of its own."
)
PARTS = (
    "The levels are those of the first part, and determine those of all others. Left: the state; real numbers are "
    "divided by their spread, and lost letters are masked or replaced. Right: what the network expects real numbers to "
    "be, and the most probable letter at each place. Places are judged one by one, so the guess need not be an example "
    "of its own."
)


def trajectory(subject: Subject, n: int = EXAMPLES, most: int = LEVELS) -> list[Scene]:
    """Return up to `most` moments of drawing the first n samples; [] if the process does not show its way."""
    request, count = subject.request()
    return trace(request, range(min(count, n)), subject.seed, most)


def trajectory_view(subject: Subject) -> View:
    """Return the way from noise to samples as stills and as a film; missing if the process does not show its way."""
    model = subject.model
    scenes = trajectory(subject, most=FRAMES if subject.thorough else LEVELS)
    if not scenes:
        raise Unable(f"The sampler {subject.request()[0].how.sampler} does not show the states on its way.")
    name = level_name(model)
    text = {"real": REAL, "parts": PARTS}.get(states_of(model.config), LETTERS)
    stills = evenly(scenes, LEVELS)
    heads = ["noisy state", "estimate of the clean example"]
    moving = within(model.domain, name, scenes, heads) if subject.thorough else ""
    request, _ = subject.request()
    return View(
        "trajectory",
        TITLE,
        f"Top to bottom: {len(stills)} of the {'noise ' * (name == 'noise')}levels of {sampling_text(request)}. {text}"
        + (" Below them, the same as a film." if moving else ""),
        fitting(lambda n: rows(model.domain, name, stills, heads, n), len(stills[0].state), ROOM) + moving,
        {"levels": [scene.level for scene in scenes]},
    )


def within(domain: Domain, name: str, scenes: Sequence[Scene], heads: Sequence[str]) -> str:
    """Return the film of scenes, of as many samples and frames as fit into `FILM_BYTES`; "" if none fits.

    Arguments:
        domain: Shows the samples.
        name: What a level is called.
        scenes: The frames.
        heads: What the two pictures of a frame are.
    """
    n = len(scenes[0].state)
    while n:
        few = [first(scene, n) for scene in scenes]
        made = film("film", [(label(name, scene), table(heads, [("", cells(domain, scene))])) for scene in few])
        if len(made.encode()) <= FILM_BYTES:
            return made
        if n == 1 and len(scenes) > LEVELS:
            scenes = evenly(scenes, LEVELS)
        else:
            n //= 2
    return ""


def rows(domain: Domain, name: str, scenes: Sequence[Scene], heads: Sequence[str], n: int) -> str:
    """Return scenes of the first n samples, one below the other, as HTML; arguments as of `within`."""
    few = [first(scene, n) for scene in scenes]
    return table(heads, [(label(name, scene), cells(domain, scene)) for scene in few])


def first(scene: Scene, n: int) -> Scene:
    """Return a scene of its first n samples."""
    return Scene(scene.level, scene.state.head(n), scene.estimate.head(n))


def evenly(scenes: Sequence[Scene], n: int) -> list[Scene]:
    """Return up to n scenes, evenly spaced, with the first and the last."""
    count = min(n, len(scenes))
    return [scenes[i] for i in sorted({round(i * (len(scenes) - 1) / max(count - 1, 1)) for i in range(count)})]


def label(name: str, scene: Scene) -> str:
    """Return the label of a scene."""
    return f"{name} {scene.level:.3g}" if scene.level else "sample"


def cells(domain: Domain, scene: Scene) -> list[str]:
    """Return the pictures of a scene."""
    return [show(domain, scene.state), show(domain, scene.estimate)]


def sampling_text(request: Request) -> str:
    """Return how samples are drawn."""
    how, process, config = request.how, request.model.process, request.model.config
    unused = process.unused(config) if provides(process, LeavesUnused) else {}
    sampler = "the samplers of its parts" if "sample.sampler" in unused else how.sampler
    guidance = "no guidance" if how.guidance == 1 else f"guidance {how.guidance:g}"
    return f"{sampler}, {amount(how.steps, 'step')}, {guidance}"
