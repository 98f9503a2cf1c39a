"""The page of `polydiff serve` in a browser: each domain is sampled and edited, and nothing else is fetched."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from serving import Served

pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")]
MODELS = ["image", "audio", "molecule", "sequence", "enlarger", "vocoder"]


class Page(Browser):
    """The page, which is used as people use it."""

    def until(self, expression: str) -> None:
        """Wait until an expression is true; the test's timeout bounds the wait."""
        while not self.evaluate(f"!!({expression})"):
            time.sleep(0.1)

    def choose(self, model: str) -> None:
        """Choose a model and the least to draw."""
        self.evaluate(
            f"(() => {{ const list = document.getElementById('model'); list.selectedIndex = {MODELS.index(model)}; "
            "list.dispatchEvent(new Event('change')); "
            "const [n] = document.querySelectorAll('#sampling input[type=number]'); n.value = 2; "
            "document.querySelector('#sampling .pair input[max=\"100\"]').value = 3; "
            "document.querySelector('#sampling .pair input[max=\"100\"]').dispatchEvent(new Event('input')); })()"
        )

    def sample(self) -> None:
        """Press the button and wait for the results."""
        self.until("!document.getElementById('go').disabled")
        sets = self.evaluate("document.querySelectorAll('.set').length")
        self.evaluate("document.getElementById('go').click()")
        self.until(f"document.querySelectorAll('.set').length > {sets}")
        self.until("document.querySelectorAll('.set:first-child .card').length == 2")

    def press(self, label: str) -> None:
        """Press the first button with this text."""
        self.evaluate(f"[...document.querySelectorAll('button')].find(b => b.textContent == '{label}').click()")

    def problems(self) -> list[object]:
        """What the browser complains of, and what it fetches from elsewhere."""
        here = ("http://127.0.0.1", "data:", "blob:", "about:")
        urls = [event["request"]["url"] for event in self.of("Network.requestWillBeSent")]
        calls = [entry for entry in self.of("Runtime.consoleAPICalled") if entry["type"] != "log"]
        elsewhere = [url for url in urls if not url.startswith(here)]
        return [*self.of("Log.entryAdded"), *self.of("Runtime.exceptionThrown"), *calls, *elsewhere]


@pytest.fixture
def page(served: Served, tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "profile", webgl=True)
    page.open(served.address)
    page.until("document.querySelectorAll('#sampling .field').length")
    yield page
    page.close()


def test_every_domain_is_sampled_and_shown(page: Page) -> None:
    page.choose("image")
    page.sample()
    assert page.evaluate("[...document.querySelectorAll('.set img')].every(img => img.naturalWidth == 8 && img.alt)")
    page.evaluate(
        "(() => { const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts'; "
        "frame.src = document.querySelector('.set a').href.replace(/zip$/, 'page'); "
        "frame.onload = () => { window.framed = true; }; document.body.append(frame); })()"
    )
    page.until("window.framed")  # the domain's own page, for other kinds of files
    page.choose("audio")
    page.sample()
    page.until("[...document.querySelectorAll('audio')].every(audio => audio.duration > 0.1)")
    assert page.evaluate("document.querySelector('audio').play().then(() => true, error => error.name)") in (
        True,
        "NotAllowedError",
    )  # a browser may want a click first
    drawn = "new Set(document.querySelector('canvas.sound').getContext('2d').getImageData(0, 70, 480, 140).data).size"
    assert page.evaluate(drawn) > 20  # a spectrogram, not one colour
    page.choose("molecule")
    page.sample()
    page.until("document.querySelectorAll('.set:first-child button.space img').length == 2")
    page.evaluate("document.querySelector('button.space').click()")
    page.until("document.querySelector('.set:first-child .space canvas')")
    page.choose("sequence")
    page.sample()
    assert page.evaluate("document.querySelectorAll('.set:first-child .text').length") == 2
    assert page.problems() == []


def test_a_film_and_a_mask(page: Page) -> None:
    page.choose("image")
    page.sample()
    page.press("Film")
    page.until("document.querySelectorAll('dialog .ends img').length == 2")
    page.evaluate("(() => { const r = document.querySelector('.film input'); r.value = r.max; r.oninput(); })()")
    page.until("document.querySelector('.film output').value == 'the sample'")
    page.press("Close")
    page.press("Inpaint")
    page.until("document.querySelector('dialog canvas.mask')")
    page.press("Generate")
    assert page.evaluate("document.querySelector('dialog .status').textContent") == "Draw on the picture first."
    page.evaluate("document.querySelector('.mask').dispatchEvent(new KeyboardEvent('keydown', {key: ' '}))")
    page.press("Generate")
    page.until("document.querySelectorAll('.set').length == 2")
    assert page.evaluate("document.querySelector('.set h2').textContent") == "A part again"
    assert page.problems() == []


def test_everything_has_a_name_and_fits_a_phone(page: Page) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.choose("image")
    page.sample()
    named = (
        "[...document.querySelectorAll('input, select, button, a, canvas, audio')].filter(e => e.checkVisibility() && "
        "!(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert page.evaluate(named) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_inverse_problem_and_a_restoration(page: Page) -> None:
    page.choose("image")
    page.sample()
    page.press("Solve")
    page.until("document.querySelector('dialog select')")
    kinds = "[...document.querySelectorAll('dialog select')[0].options].map(one => one.value)"
    assert page.evaluate(kinds) == ["blur", "mean", "gap"]
    assert page.evaluate("document.querySelector('dialog input[type=text]').value") == "1.3"
    page.evaluate("(() => { const n = [...document.querySelectorAll('dialog input')].at(-1); n.value = 2; })()")
    assert "null" not in page.evaluate("document.querySelector('dialog').textContent")
    page.evaluate("document.querySelector('dialog .foot button').click()")
    page.until(
        "document.querySelectorAll('.set:first-child .card').length == 4 || document.querySelector('#status.alarm')"
    )
    captions = "[...document.querySelectorAll('.set:first-child figcaption')].map(one => one.textContent)"
    assert page.evaluate(f"{captions}.slice(0, 2)") == ["before", "known"]
    assert page.evaluate("document.querySelector('.set h2').textContent") == "Given blur=1.3"
    page.choose("enlarger")
    page.sample()
    page.press("Upsample")
    page.until("document.querySelector('dialog input[type=checkbox]')")
    page.evaluate("document.querySelector('dialog .foot button').click()")
    page.until(
        "document.querySelectorAll('.set:first-child .card').length == 3 || document.querySelector('#status.alarm')"
    )
    widths = "[...document.querySelectorAll('.set:first-child img')].map(img => img.naturalWidth)"
    assert page.evaluate(widths) == [8, 16, 16]  # before, the interpolation that it starts from, the result
    assert page.problems() == []


def test_the_stages_of_a_pipeline_have_fields(page: Page) -> None:
    """A changed field is sent, and no other: the rest stays as configured."""
    stage = {"about": "", "samplers": ["heun", "ddim"], "guided": True}
    stages = [
        {**stage, "name": "base", "follows": "", "defaults": {"steps": 9, "sampler": "heun", "guidance": 1}},
        {
            **stage, "name": "up", "follows": "base", "level": 0.1, "levels": [0.02, 1.0], "of": 2,
            "defaults": {"steps": 7, "sampler": "ddim", "guidance": 2},
        },
    ]  # fmt: skip
    card = {"name": "a", "conditions": [], "stages": stages, "samplers": [], "guided": True, "defaults": {}}
    page.evaluate(
        "import('/static/form.js').then(({ Form }) => { const [a, b] = ['conditions', 'sampling'].map(one => "
        "document.getElementById(one)); window.made = new Form("
        f"{json.dumps(card)}, {{ samples: 64, steps: 250 }}, a, b); }})"
    )
    page.until("window.made")
    assert page.evaluate(
        "[...document.querySelectorAll('details')].map(one => one.querySelectorAll('.field').length)"
    ) == [3, 5]
    assert page.evaluate("made.stageChanges()") == {}
    page.evaluate(
        "(() => { const { inputs } = made.stages.get('up'); inputs.steps.value = 4; inputs.level.value = 0; })()"
    )
    assert page.evaluate("made.stageChanges()") == {"up": {"steps": 4, "level": 0}}
    assert page.evaluate("made.how()") == {}
