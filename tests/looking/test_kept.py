"""Tests of `polydiff.looking.kept` and `polydiff.report.views`."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny

from polydiff.core.process.process import Process
from polydiff.looking import kept
from polydiff.looking.kept import draw_views, refresh_views
from polydiff.looking.subject import EXAMPLES, LEVELS
from polydiff.looking.views import table
from polydiff.looking.views.guidance import WEIGHTS
from polydiff.looking.views.nearest import MATCHED
from polydiff.model.model import Model
from polydiff.report.page import page, write_report
from polydiff.report.views import VIEWS, views_of, views_step
from polydiff.run.folder import Run
from polydiff.support.errors import UserError

Drawn = tuple[Model, Run]


@pytest.fixture(scope="module")
def drawn_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drawn]:
    """Return the model and the run of a domain, with views."""

    @cache
    def drawn_of(domain: str) -> Drawn:
        run = Run(tiny(domain, tmp_path_factory.mktemp("runs") / f"{domain}-001"))
        model = Model.load(run.path)
        draw_views(model, run)
        return model, run

    return drawn_of


@pytest.fixture
def images(drawn_of: Callable[[str], Drawn]) -> Model:
    return drawn_of("image")[0]


@pytest.fixture
def run(drawn_of: Callable[[str], Drawn], tmp_path: Path) -> Run:
    """A copy of the run of images."""
    shutil.copytree(drawn_of("image")[1].path, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.parametrize("domain", ["image", "audio", "molecule"])
def test_every_domain_has_the_views_that_it_can_have(domain: str, drawn_of: Callable[[str], Drawn]) -> None:
    model, run = drawn_of(domain)
    step, views = views_of(run)
    assert step == model.step
    assert [view.name for view in views] == ["guidance", "trajectory", "one_step", "nearest"]
    source = page(run)
    for view in views:
        assert view.title in source
        assert view.html
        assert view.html in source
    assert not re.search(r'(src|href)="http', "".join(view.html for view in views))


def test_samples_are_those_of_the_set_beside_them_at_three_weights_and_on_their_way(images: Model, run: Run) -> None:
    views = {view.name: view.html for view in views_of(run)[1]}
    pictures = {name: re.findall(r'src="(data:image/png[^"]+)"', text) for name, text in views.items()}
    shown = re.findall(r'src="(data:image/png[^"]+)"', (run.samples(images.step) / "show.html").read_text())
    assert len(pictures["guidance"]) == 8 * len(WEIGHTS)
    for weight in WEIGHTS:
        assert f"guidance {weight:g}" in views["guidance"]
    assert pictures["nearest"][::2] == shown[:MATCHED]
    every = pictures["trajectory"]
    rows = [every[i : i + EXAMPLES] for i in range(0, len(every), EXAMPLES)]
    assert len(rows) == 2 * min(LEVELS, len(rows) // 2)
    assert rows[-1] == rows[-2] == shown[:EXAMPLES]
    assert views["nearest"].count("distance ") == MATCHED


def test_views_are_drawn_once_a_checkpoint(images: Model, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    monkeypatch.setattr(kept, "draw_views", lambda *_: calls.update(["drawn"]))
    assert (refresh_views(run.path), calls["drawn"]) == ("", 0)
    path = run.samples(VIEWS) / "views.json"
    facts = json.loads(path.read_text())
    for change in ({"step": 3}, {"version": 0}):
        path.write_text(json.dumps(facts | change))
        refresh_views(run.path)
    shutil.rmtree(path.parent)
    refresh_views(run.path)
    assert calls["drawn"] == 3


def test_a_model_that_cannot_be_loaded_is_a_reason_and_the_page_is_made_from_files(
    images: Model, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run.samples(VIEWS))

    def gone(path: Path) -> Model:
        raise UserError("There is no folder photos.")

    monkeypatch.setattr(kept.Model, "load", gone)
    assert refresh_views(run.path) == "There is no folder photos."
    assert "closely" not in write_report(run.path).read_text()
    assert refresh_views(tmp := run.path) == "There is no folder photos."
    shutil.rmtree(run.checkpoints)
    assert refresh_views(tmp) == ""  # nothing to draw


def test_a_view_that_fails_states_why_and_the_others_are_drawn(
    images: Model, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explodes(subject: Any) -> Any:
        raise UserError("Samples explode <b>.")

    monkeypatch.setitem(table.VIEWS, "guidance", table.Entry("Guidance", explodes))
    draw_views(images, run)
    views = views_of(run)[1]
    assert [(view.name, bool(view.html)) for view in views] == [
        ("guidance", False),
        ("trajectory", True),
        ("one_step", True),
        ("nearest", True),
    ]
    assert "Samples explode &lt;b&gt;." in page(run)


class PlainPlan:
    """A plan that samples and does no more."""

    def __init__(self, plan: Any) -> None:
        self.run, self.evaluations = plan.run, plan.evaluations


def test_a_process_without_an_ability_has_fewer_views(images: Model, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        """A process that generates, but names no keys of guidance, and whose plan shows no way."""

        name = "plain"

        def __getattr__(self, name: str) -> Any:
            return getattr(gaussian, name)

        def plan(self, model: Any, how: Any) -> Any:
            return PlainPlan(gaussian.plan(model, how))  # type: ignore[attr-defined]

        def prior(self, *words: Any) -> Any:
            return gaussian.prior(*words)  # type: ignore[attr-defined]

        def evaluate(self, *words: Any) -> Any:
            return gaussian.evaluate(*words)  # type: ignore[attr-defined]

    gaussian: Process = images.process
    foreign = Model(images.config, images.domain, images.denoiser, images.step)
    monkeypatch.setitem(foreign.__dict__, "process", Plain())
    draw_views(foreign, run)
    assert [view.name for view in views_of(run)[1]] == ["one_step", "nearest"]

    class Stage:
        name = "codec"

    monkeypatch.setitem(foreign.__dict__, "process", Stage())
    draw_views(foreign, run)
    assert (views_of(run), views_step(run)) == ((images.step, []), images.step)


def test_views_too_large_for_the_page_are_left_out(images: Model, run: Run) -> None:
    whole = page(run)
    assert len(whole.encode()) < 5_000_000
    small = page(run, limit=60_000)
    assert len(small.encode()) <= 60_000


FACTS = {"version": 1, "step": 1, "weights": "ema", "seed": 0}


@pytest.mark.parametrize("text", ['{"step": 1}', json.dumps(FACTS | {"views": [{}]})])
def test_a_views_file_of_another_form_is_one_error(images: Model, run: Run, text: str) -> None:
    (run.samples(VIEWS) / "views.json").write_text(text)
    with pytest.raises(UserError, match=r"views.json was not written by polydiff"):
        page(run)
    escape = {"name": "../../secret", "title": "t", "note": "n"}
    (run.samples(VIEWS) / "views.json").write_text(json.dumps(FACTS | {"views": [escape]}))
    with pytest.raises(UserError, match=r"views.0.name"):
        page(run)
