"""Tests of `polydiff.looking.page` and of `polydiff look`: pages of every domain in a browser, names, files."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from browser import CHROMIUM, Browser
from exact_model import exact_model
from untrained import SMALL, untrained

from polydiff.cli import main
from polydiff.looking.page import look
from polydiff.looking.views.table import VIEWS
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.testing.analytic import GaussianMixture

QUICK = {"sample.steps": 3, "device": "cpu"}
LACKING = {
    "image": {"The order in which letters appeared"},
    "audio": {"The order in which letters appeared"},
    "molecule": {"The order in which letters appeared"},
    "sequence": {"What the network knows, and where"},
}
"""Domain -> titles of the views that its default network cannot have."""


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def run_of(domain: str) -> Path:
        return untrained(tmp_path_factory.mktemp("runs") / domain, domain, **{**SMALL[domain], **QUICK})

    return run_of


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    started = Browser(tmp_path / "profile", webgl=True)
    yield started
    started.process.kill()


@pytest.mark.parametrize("domain", ["image", "audio", "molecule", "sequence"])
def test_a_page_is_one_small_file_without_requests_or_messages_and_its_film_moves(
    domain: str, run_of: Callable[[str], Path], tmp_path: Path, browser: Browser
) -> None:
    only = [] if domain == "image" else ["trajectory", "one_step", "attention", "order", "probe"]
    found = look(Model.load(run_of(domain)), only=only, steps=3)
    assert {one.title for one in found.missing} == LACKING[domain], found.missing
    path = found.save(tmp_path / "look.html", domain)
    assert path.stat().st_size < 5_000_000
    browser.call("Page.navigate", url=path.as_uri())
    browser.wait(lambda m: m.get("method") == "Page.loadEventFired")

    def value(expression: str) -> object:
        return browser.call("Runtime.evaluate", expression=expression)["result"].get("value")

    assert value("document.querySelectorAll('main section').length") == len(found.views) + 2
    frames = "[...document.querySelectorAll('.steps > .set')]"
    assert value(f"{frames}.filter(frame => !frame.hidden).length") == 1
    value("{const s = document.querySelector('.steps input'); s.value = 0; s.oninput()}")
    assert value(f"{frames}[0].hidden") is False
    messages = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in browser.events if event.get("method") in messages] == []
    sent = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_page_leaves_out_the_largest_views_first(run_of: Callable[[str], Path]) -> None:
    found = look(Model.load(run_of("image")), only=["trajectory", "one_step"])
    whole = found.page()
    small = found.page(limit=len(whole) - 1000)
    assert len(small.encode()) < len(whole.encode())
    assert "Left out" in small
    assert "Left out" not in whole


def test_the_command_writes_a_page_of_own_files_and_prints_numbers(
    run_of: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of("image")
    main(["sample", str(run), "-n", "2", "-o", str(tmp_path / "own")])
    files = [str(path) for path in sorted((tmp_path / "own").glob("*.png"))]
    capsys.readouterr()
    words = ["look", str(run), *files, "--cond", "label=3", "--only", "one_step", "-o", str(tmp_path / "look.html")]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "look.html")
    page = (tmp_path / "look.html").read_text()
    assert "Your examples" in page
    assert "label=3" in page
    assert main(["look", str(run), "--only", "one_step", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert len(numbers["one_step"]["relative_error"]) == len(numbers["one_step"]["levels"]) == 8
    assert not (tmp_path / "look.json").exists()


def test_wrong_names_conditions_and_files_are_errors(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    model = Model.load(run_of("image"))
    with pytest.raises(UserError, match="attentoin"):
        look(model, only=["attentoin"])
    with pytest.raises(UserError, match="lable"):
        look(model, cond={"lable": 3})
    with pytest.raises(UserError, match=r"absent\.png"):
        look(model, files=[tmp_path / "absent.png"])
    with pytest.raises(UserError, match=r"polydiff\.load"):
        look("runs/a")  # type: ignore[arg-type]


def test_the_views_have_names_that_a_user_can_type() -> None:
    assert all(name.isidentifier() for name in VIEWS)


def test_a_domain_and_a_network_without_abilities_have_fewer_views_and_the_page_names_what_is_missing() -> None:
    """A domain of vectors, which neither draws weights nor searches for neighbours, and a network without layers."""
    means, variances = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.full((2, 2), 0.1)
    model = exact_model(GaussianMixture(means, variances, labels=torch.tensor([0, 1])), test=64)
    model.domain.nearest = None  # type: ignore[attr-defined] # it is withdrawn
    found = look(model, steps=4, sampler="ddim")
    assert [view.name for view in found.views] == [
        "trajectory",
        "one_step",
        "sensitivity",
        "guidance",
        "uncertainty",
        "walks",
    ]
    reasons = {one.title: one.reason for one in found.missing}
    assert "`Attends`" in reasons["Where the network looks"]
    assert "`FindsNearest`" in reasons["Nearest training examples"]
    assert "`torch.nn.ModuleList`" in reasons["What the network knows, and where"]
    page = found.page()
    assert all(html.escape(reason, quote=False) in page for reason in reasons.values())


def test_a_process_without_one_step_estimates_keeps_the_views_of_samples(
    run_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model.load(run_of("image"))
    gaussian = model.process

    class Foreign:
        """A process that draws samples and shows their way, and no more."""

        name, keys = "foreign", ("sample.guidance",)
        plan, prior, evaluate = gaussian.plan, gaussian.prior, gaussian.evaluate  # type: ignore[attr-defined]

    monkeypatch.setitem(model.__dict__, "process", Foreign())
    found = look(model, only=["trajectory", "one_step", "walks"], steps=3)
    assert [view.name for view in found.views] == ["trajectory"]
    assert {one.failed for one in found.missing} == {False}
    assert "process=foreign" in found.missing[0].reason
