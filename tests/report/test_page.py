"""The report: what it reads, what it escapes, how large it grows, and what a real browser makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import CHROMIUM, Browser
from jinja2 import Template
from report_cases import METRIC, Page, make_run, report
from repository import ROOT

from polydiff.machine.environment import environment
from polydiff.report.page import LIMIT, write_report
from polydiff.run.checkpoint import Checkpoint
from polydiff.support.errors import UserError

HOSTILE = "</pre><script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


def test_every_part_of_the_run_is_on_the_page(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert not list((tmp_path / "runs" / "audio-001").glob(".report*"))  # no draft is left
    words = " ".join(Page(page).text.split())
    for said in ("audio-001", "after 600 training steps", "plucks", "5 min 0 s", "12.5", "2.5", "102", "cents"):
        assert said in words
    for said in ("How far off.", "64 generated samples", "heun", "39 evaluations", "guidance 1.5", "seed 5"):
        assert said in words
    sampling = "--sampler heun --steps 20 --guidance 1.5 --cond 'note=C 4'"
    run = tmp_path / "runs" / "audio-001"
    assert f"polydiff eval {run} -n 64 --seed 5 --weights ema {sampling} # the numbers above" in words
    assert f"polydiff train -c {run}/config.resolved.yaml -o {run}-again" in words
    assert "steps: 600 # command line" in words
    made = [words.index(f"made at {s}") for s in (100, 300, 600)]
    assert words.index("real") < made[0] < made[1] < made[2]
    assert 'style="left: 90.0%"' in page  # (12.5 - 102.5) / (2.5 - 102.5)
    assert page.count('<svg class="curve"') == 3


def test_the_page_shows_the_progress_and_environment_of_the_newest_checkpoint(tmp_path: Path) -> None:
    for step in (100, 200):
        state = {"config": {}, "statistics": {}, "seconds": step / 2, "environment": environment("cpu")}
        weights = {"a": torch.zeros(3, 5), "b": torch.zeros(5 * step // 200)}
        Checkpoint(step, state, weights, weights, {}).save(tmp_path / "run" / "checkpoints")
    run = make_run(tmp_path / "run", **{"metrics.jsonl": None})
    words = " ".join(Page(write_report(run).read_text()).text.split())
    assert "after 200 of 600 training steps" in words
    assert "20 weights" in words
    assert "1 min 40 s" in words
    assert f"torch {metadata.version('torch')}" in words
    assert "cores)" in words


def test_text_is_escaped_and_fragments_are_not(tmp_path: Path) -> None:
    row = METRIC | {"unit": HOSTILE, "meaning": HOSTILE, "better": HOSTILE}
    page = report(
        tmp_path,
        **{
            "config.input.yaml": f"# {HOSTILE}\n",
            "config.resolved.yaml": f"domain: {json.dumps(HOSTILE)}\nbackbone:\n  name: {json.dumps(HOSTILE)}\n",
            "evaluation.json": json.dumps({"n": HOSTILE, "sampler": HOSTILE, "metrics": {HOSTILE: row}}),
            "samples/step-00000600/show.html": "<b id=own>bold</b>",
        },
    )
    found = Page(page).elements
    assert sum(tag == "script" for tag, _ in found) == 1  # the page's own
    assert not [attrs for _, attrs in found if "onerror" in attrs]
    assert Page(page).text.count(HOSTILE) >= 6  # shown, as text
    assert ("b", {"id": "own"}) in found


def test_undefined_numbers_and_old_evaluations_are_marked(tmp_path: Path) -> None:
    result = {"step": 400, "metrics": {"strain": METRIC | {"noise": None}}}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    words = " ".join(Page(page).text.split())
    assert "– marks an undefined number, such as a mean over no valid samples." in words
    assert "Training has since reached step 600." in words
    assert 'class="meter"' not in page


def test_a_baseline_has_a_column_of_its_own(tmp_path: Path) -> None:
    rows = {"strain": METRIC | {"baseline": 55.5}, "silent": METRIC}
    result = {"step": 600, "metrics": rows, "baseline": "sinc interpolation"}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    words = " ".join(Page(page).text.split())
    assert "The baseline is sinc interpolation." in words
    assert page.count('data-label="Baseline"') == 2
    assert ">55.5</td>" in page
    assert "Baseline" not in report(tmp_path / "without")


def test_a_script_is_on_the_page_once_however_many_fragments_need_it(tmp_path: Path) -> None:
    text = 'const end = "</script>", hint = "<!--";'
    page = report(tmp_path, **{"samples/scripts/own.js": text})
    found = [script for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL) if "const end" in script]
    assert found == ['\nconst end = "<\\/script>", hint = "<\\!--";\n']
    assert page.index("const end") > page.rindex("made at 600")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds no JSON object"),
        ("text", "holds no JSON object"),
        ({"metrics": [1]}, r"not an evaluation written by polydiff \(metrics: "),
        ({"metrics": {"strain": 3.0}}, r"\(metrics.strain: "),
        ({"metrics": {}, "confusions": {"label": {"requested": ["a"]}}}, r"\(confusions.label.seen: "),
        ({"metrics": {}, "measures": {"logp": {"unit": "", "edges": "wide"}}}, r"\(measures.logp.meaning: "),
        ({"metrics": {}, "cond": [3]}, r"\(cond: "),
    ],
)
def test_an_evaluation_of_another_shape_is_reported_in_a_sentence(tmp_path: Path, content: Any, said: str) -> None:
    make_run(tmp_path / "run", **{"evaluation.json": json.dumps(content)})
    with pytest.raises(UserError, match=said):
        write_report(tmp_path / "run")


def test_standard_errors_and_versions_are_shown(tmp_path: Path) -> None:
    row = METRIC | {"value_error": 0.034, "data": 0.98765, "data_error": 0.0021, "noise": 3.0}
    result = {"metrics": {"valid": row}, "environment": {"versions": {"rdkit": "2026.9.1"}}}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    words = " ".join(Page(page).text.split())
    assert "12.50 ± 0.03" in words
    assert "0.988 ± 0.002" in words
    assert "The number after ± is the standard error" in words
    assert "Measured with rdkit 2026.9.1." in words
    assert "±" not in Page(report(tmp_path / "without")).text


MEASURE = {
    "unit": "Å", "meaning": "radius of gyration", "edges": [1.0, 2.0, 3.0], "value": [3, 1], "data": [2, 2],
    "pairs": [[1.5, 1.25], [2.5, None], [2.0, 2.0]],
}  # fmt: skip


def test_measured_values_are_drawn_against_requested_ones(tmp_path: Path) -> None:
    constant = MEASURE | {"pairs": [[1.5, 1.25], [1.5, 2.0]]}
    nothing = MEASURE | {"edges": [], "value": [], "data": [], "pairs": []}
    measures = {"gyration": MEASURE, "weight": constant, "rings": nothing}
    page = report(tmp_path, **{"evaluation.json": json.dumps({"metrics": {}, "measures": measures})})
    assert page.count("measured against requested") == 1  # of the one whose samples have different requested values
    assert page.count("samples and data") == 2
    assert page.count('class="requested"') == 2  # the diagonal, and the one value
    assert "radius of gyration, Å" in Page(page).text


def test_noise_that_is_better_than_data_is_no_end_of_a_scale(tmp_path: Path) -> None:
    result = {"metrics": {"copies": METRIC | {"noise": 0.0, "data": 0.01, "value": 0.0}}}
    assert 'class="meter"' not in report(tmp_path, **{"evaluation.json": json.dumps(result)})


@pytest.mark.parametrize("rows", ["requested", "asked"])  # the latter in evaluations of earlier versions
def test_confusion_matrices_are_drawn(rows: str, tmp_path: Path) -> None:
    found = {rows: ["C4", HOSTILE], "seen": ["C4", HOSTILE], "value": [[2, 1], [0, 4]], "data": [[3, 0], [0, 5]]}
    result = {"metrics": {"strain": METRIC}, "confusions": {"pitch": found}, "features": "net.pt"}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    assert page.count('<svg class="heat"') == 2
    titles = re.findall(r"<title>(requested .*?)</title>", page)
    assert len(titles) == 3 + 2
    assert "requested C4, predicted C4: 2 of 3" in titles
    assert sum(tag == "script" for tag, _ in Page(page).elements) == 1
    assert "--features net.pt" in " ".join(Page(page).text.split())


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ("evaluation.json", "has not been evaluated yet"),
        ("metrics.jsonl", "Nothing has been logged yet"),
        ("config.input.yaml", "all values are defaults"),
    ],
)
def test_a_missing_part_is_a_sentence(tmp_path: Path, left_out: str, sentence: str) -> None:
    assert sentence in report(tmp_path / "without", **{left_out: None})
    assert sentence not in report(tmp_path / "with")


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "new"
    run.mkdir(parents=True)
    (run / "config.resolved.yaml").write_text("domain: image\n")
    words = " ".join(Page(write_report(run).read_text()).text.split())
    assert "This run has no samples yet" in words
    assert "after 0 training steps" in words


def test_what_is_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        write_report(tmp_path / "nowhere")
    make_run(tmp_path / "run", **{"evaluation.json": '{"metrics": '})
    with pytest.raises(UserError, match=r"evaluation\.json is not valid JSON"):
        write_report(tmp_path / "run")


def test_a_page_keeps_below_its_limit_and_lists_what_it_left_out(tmp_path: Path) -> None:
    big = {f"samples/step-{s:08d}/show.html": f"<p>made at {s}</p>" + "x" * 700_000 for s in range(100, 1001, 100)}
    page = report(tmp_path, **big)
    assert LIMIT - 800_000 < len(page.encode()) <= LIMIT
    shown = [int(s) for s in re.findall(r"made at (\d+)", page)]
    assert shown[0] == 100
    assert shown[-1] == 1000
    text = " ".join(Page(page).text.split())
    said = re.search(r"Left out to keep this page below 5 MB: ([^.]+)\.", text)
    assert said
    assert sorted(shown + [int(s) for s in re.findall(r"step (\d+)", said[1].replace(",", ""))]) == [
        *range(100, 1001, 100)
    ]


def test_real_examples_that_are_too_large_are_left_out(tmp_path: Path) -> None:
    page = report(tmp_path, **{"samples/real/show.html": "x" * LIMIT})
    assert len(page.encode()) <= LIMIT
    assert "made at 600" in page
    assert "below 5 MB: the real examples." in " ".join(Page(page).text.split())


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


PICTURES = "[...document.images].map(image => image.complete && image.naturalWidth)"
SOUNDS = """Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise((done, fail) => {
  const known = () => done(audio.duration);
  audio.onerror = () => fail(new Error("audio cannot be read"));
  audio.readyState >= 1 ? known() : (audio.onloadedmetadata = known, audio.preload = "metadata", audio.load());
})))"""
SHOWN = '[...document.querySelectorAll(".steps > .set")].filter(f => f.offsetParent).map(f => f.dataset.step)'


@pytest.mark.timeout(120)
def test_a_browser_shows_the_page_without_a_network(tmp_path: Path, browser: Browser) -> None:
    sure = METRIC | {f"{part}_error": 0.00123 for part in ("value", "data", "noise")} | {"unit": "kcal/mol"}
    result = {"metrics": {"valid_connected_rdkit": sure}, "measures": {"gyration": MEASURE}}
    run = make_run(tmp_path / "audio-001", **{"evaluation.json": json.dumps(result)})
    browser.open(write_report(run).as_uri())
    assert browser.evaluate(PICTURES) == [2] * 4
    assert browser.evaluate(SOUNDS) == pytest.approx([0.25] * 4)
    assert browser.evaluate(SHOWN) == ["step 600"]
    browser.evaluate('slider.value = 0, slider.dispatchEvent(new Event("input"))')
    assert browser.evaluate(SHOWN) == ["step 100"]
    for width in (360, 1400):  # nothing hangs over the edge, on a phone or on a desk
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    urls = {request["request"]["url"] for request in browser.of("Network.requestWillBeSent")}
    assert {url.partition(":")[0] for url in urls} <= {"file", "data", "blob", "about"}
    assert any(url.startswith("file:") for url in urls)  # requests are seen at all
    assert browser.of("Log.entryAdded") == []
    assert browser.of("Runtime.exceptionThrown") == []
    assert browser.of("Runtime.consoleAPICalled") == []


@pytest.mark.timeout(120)
def test_a_fragment_cannot_make_the_page_fetch(tmp_path: Path, browser: Browser) -> None:
    fragment = "<img src='http://polydiff.invalid/x.png'><script>fetch('http://polydiff.invalid/y')</script>"
    browser.open(write_report(make_run(tmp_path / "run", **{"samples/real/show.html": fragment})).as_uri())
    console = " ".join(entry["entry"]["text"] for entry in browser.of("Log.entryAdded"))
    assert "Loading the image 'http://polydiff.invalid/x.png' violates" in console
    assert "Connecting to 'http://polydiff.invalid/y' violates" in console
    reasons = {failed.get("blockedReason") for failed in browser.of("Network.loadingFailed")}
    assert reasons == {"csp"}  # stopped by the page's policy, not by a missing network


@pytest.mark.timeout(120)
def test_without_javascript_every_set_is_shown(tmp_path: Path, browser: Browser) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(write_report(make_run(tmp_path / "run")).as_uri())
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate(SHOWN) == ["step 100", "step 300", "step 600"]
    assert browser.evaluate('document.querySelector(".control").offsetParent') is None


def test_the_page_names_the_options_of_the_sampler_and_says_where_evaluations_vary(tmp_path: Path) -> None:
    template = (ROOT / "polydiff" / "report" / "template.html").read_text()
    sentence = template[template.index("drawn by {{") : template.index(", guidance {{ evaluation.guidance }}")]
    base = {"sampler": "first_hitting", "steps": 64, "evaluations": None, "options": {"temperature": 0.9}}
    assert Template(sentence).render(evaluation=base) == (
        "drawn by first_hitting in as many evaluations of the network as it takes, temperature 0.9"
    )
    text = Template(sentence).render(evaluation={**base, "evaluations": 128, "options": {}})
    assert text == "drawn by first_hitting in 64 steps, 128 evaluations of the network per sample"
