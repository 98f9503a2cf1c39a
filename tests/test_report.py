"""The report: what it reads, what it escapes, how large it grows, and what a real browser makes of it."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import struct
import wave
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from safetensors.numpy import save_file

from polydiff.curves import curve, smooth, thin
from polydiff.environment import environment
from polydiff.errors import UserError
from polydiff.report import LIMIT, fitting, write_report

HOSTILE = "</pre><script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


def png() -> str:
    """Return a 2 x 2 grey picture as an <img>."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0\x80\xff\0\xff\x80")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    data += chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f'<img alt="grey" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def sound(seconds: float = 0.25) -> str:
    """Return a tone as an <audio>."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        tone = (9000 * np.sin(np.arange(int(8000 * seconds)) * 0.3)).astype("<i2")
        out.writeframes(tone.tobytes())
    return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"></audio>'


def make_run(path: Path, **changes: Any) -> Path:
    """Write a run's folder as training and evaluation leave it; `changes` replace or (None) leave out parts."""
    parts = {
        "config.input.yaml": "domain: audio\ntrain:\n  steps: 600\n",
        "config.resolved.yaml": "domain: audio  # command line\nseed: 3  # default\nschedule: edm  # default\n"
        "target: edm  # default\ntrain:\n  steps: 600  # command line\ndata:\n  name: plucks  # default\n",
        "metrics.jsonl": "".join(
            json.dumps({"step": s, "loss": 1 / s, "grad_norm": 2.0, "lr": 1e-4, "seconds": s / 2}) + "\n"
            for s in range(20, 601, 20)
        ),
        "evaluation.json": json.dumps(
            {"step": 600, "n": 64, "seed": 5, "sampler": "heun", "steps": 20, "evaluations": 39, "guidance": 1.5}
            | {"weights": "ema", "domain": "audio", "n_data": 64, "cond": {"note": "C 4"}}
            | {"metrics": {"pitch_error": METRIC}}
        ),
        "samples/real/show.html": f"<p>real</p>{png()}{sound()}",
        **{f"samples/step-{s:08d}/show.html": f"<p>made at {s}</p>{png()}{sound()}" for s in (100, 300, 600)},
    }
    for name, content in (parts | changes).items():
        if content is not None:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
    return path


METRIC = {
    "value": 12.5, "data": 2.5, "noise": 102.5, "unit": "cents", "better": "lower", "meaning": "How far off.",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would find: elements, and text by the nearest element."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report(path: Path, **changes: Any) -> str:
    """Return the report of a made-up run."""
    return write_report(make_run(path / "runs" / "audio-001", **changes)).read_text()


def test_every_part_of_the_run_is_on_the_page(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert not list((tmp_path / "runs" / "audio-001").glob(".report*"))  # no draft is left
    words = " ".join(Page(page).text.split())
    for said in ("audio-001", "after 600 training steps", "plucks", "5 min 0 s", "12.5", "2.5", "102", "cents"):
        assert said in words
    for said in ("How far off.", "64 generated samples", "heun", "39 evaluations", "guidance 1.5", "seed 5"):
        assert said in words
    sampling = "--sampler heun --steps 20 --guidance 1.5 --cond 'note=C 4'"
    assert f"polydiff eval audio-001 -n 64 --seed 5 --weights ema {sampling} # the numbers above" in words
    assert "steps: 600 # command line" in words
    made = [words.index(f"made at {s}") for s in (100, 300, 600)]
    assert words.index("real") < made[0] < made[1] < made[2]
    assert 'style="left: 90.0%"' in page  # (12.5 - 102.5) / (2.5 - 102.5)
    assert page.count('<svg class="curve"') == 3


def test_the_newest_checkpoint_tells_where_and_with_what(tmp_path: Path) -> None:
    weights = np.zeros((3, 5), np.float32)
    for step in (100, 200):
        folder = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
        state = {"step": step, "seconds": step / 2, "environment": environment("cpu")}
        make_run(folder, **{"state.json": json.dumps(state)})
        save_file({"a": weights, "b": weights[step // 100]}, folder / "ema.safetensors")
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


def test_the_table_tells_what_has_no_meaning_and_what_is_old(tmp_path: Path) -> None:
    result = {"step": 400, "metrics": {"strain": METRIC | {"noise": None}}}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    words = " ".join(Page(page).text.split())
    assert "Where a number has no meaning, as among no valid samples, stands –." in words
    assert "Training has since come to step 600." in words
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
        ({"metrics": [1]}, r"no evaluation as polydiff writes them \(metrics: "),
        ({"metrics": {"strain": 3.0}}, r"\(metrics.strain: "),
        ({"metrics": {}, "confusions": {"label": {"asked": ["a"]}}}, r"\(confusions.label.seen: "),
        ({"metrics": {}, "measures": {"logp": {"unit": "", "edges": "wide"}}}, r"\(measures.logp.meaning: "),
        ({"metrics": {}, "cond": [3]}, r"\(cond: "),
    ],
)
def test_an_evaluation_of_another_shape_is_told_in_a_sentence(tmp_path: Path, content: Any, said: str) -> None:
    make_run(tmp_path / "run", **{"evaluation.json": json.dumps(content)})
    with pytest.raises(UserError, match=said):
        write_report(tmp_path / "run")


def test_standard_errors_and_versions_are_told(tmp_path: Path) -> None:
    row = METRIC | {"value_error": 0.034, "data": 0.98765, "data_error": 0.0021, "noise": 3.0}
    result = {"metrics": {"valid": row}, "environment": {"versions": {"rdkit": "2026.9.1"}}}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    words = " ".join(Page(page).text.split())
    assert "12.50 ± 0.03" in words
    assert "0.988 ± 0.002" in words
    assert "Behind ± stands the standard error" in words
    assert "Measured with rdkit 2026.9.1." in words
    assert "±" not in Page(report(tmp_path / "without")).text


MEASURE = {
    "unit": "Å", "meaning": "radius of gyration", "edges": [1.0, 2.0, 3.0], "value": [3, 1], "data": [2, 2],
    "pairs": [[1.5, 1.25], [2.5, None], [2.0, 2.0]],
}  # fmt: skip


def test_what_was_asked_stands_against_what_was_measured(tmp_path: Path) -> None:
    constant = MEASURE | {"pairs": [[1.5, 1.25], [1.5, 2.0]]}
    nothing = MEASURE | {"edges": [], "value": [], "data": [], "pairs": []}
    measures = {"gyration": MEASURE, "weight": constant, "rings": nothing}
    page = report(tmp_path, **{"evaluation.json": json.dumps({"metrics": {}, "measures": measures})})
    assert page.count("measured against asked") == 1  # of the one whose samples were asked for different values
    assert page.count("samples beside data") == 2
    assert page.count('class="asked"') == 2  # the diagonal, and the one value
    assert "radius of gyration, Å" in Page(page).text


def test_noise_that_is_better_than_data_is_no_end_of_a_scale(tmp_path: Path) -> None:
    result = {"metrics": {"copies": METRIC | {"noise": 0.0, "data": 0.01, "value": 0.0}}}
    assert 'class="meter"' not in report(tmp_path, **{"evaluation.json": json.dumps(result)})


def test_what_was_asked_for_and_what_is_heard_is_drawn(tmp_path: Path) -> None:
    found = {"asked": ["C4", HOSTILE], "seen": ["C4", HOSTILE], "value": [[2, 1], [0, 4]], "data": [[3, 0], [0, 5]]}
    result = {"metrics": {"strain": METRIC}, "confusions": {"pitch": found}, "features": "net.pt"}
    page = report(tmp_path, **{"evaluation.json": json.dumps(result)})
    assert page.count('<svg class="heat"') == 2
    titles = re.findall(r"<title>(asked .*?)</title>", page)
    assert len(titles) == 3 + 2
    assert "asked C4, seen C4: 2 of 3" in titles
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
    assert "no samples of this run yet" in words
    assert "after 0 training steps" in words


def test_what_is_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        write_report(tmp_path / "nowhere")
    make_run(tmp_path / "run", **{"evaluation.json": '{"metrics": '})
    with pytest.raises(UserError, match=r"evaluation\.json is not JSON"):
        write_report(tmp_path / "run")


def curve_of(page: str, title: str) -> tuple[list[tuple[float, float]], str]:
    """Return the dots of a curve, in the plot's coordinates, and its whole figure."""
    figure = page[page.index(f"<figcaption><b>{title}</b>") :]
    figure = figure[: figure.index("</figure>")]
    dots = re.search(r'class="raw" d="([^"]*)"', figure)
    assert dots
    return [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+)h0", dots[1])], figure


def test_curves_hold_what_was_logged_and_mark_what_is_not_finite(tmp_path: Path) -> None:
    losses = {10: 1.0, 20: 0.1, 30: math.nan, 40: 0.01, 50: math.inf, 60: None}
    lines = [json.dumps({"step": s, "loss": v, "lr": s * 1e-5, "seconds": s}) for s, v in losses.items()]
    torn = "\n".join([*lines, '{"step": 70, "lo'])
    dots, figure = curve_of(page := report(tmp_path, **{"metrics.jsonl": torn}), "Loss")
    (x1, y1), (x2, y2), (x3, y3) = dots
    assert y3 - y2 == pytest.approx(y2 - y1, abs=0.2)  # three decades, evenly spaced: the axis is logarithmic
    assert y1 < y2 < y3
    assert x3 - x2 == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert figure.count('class="alarm"') == 3
    assert "3 not finite (▼), at step 30, 50, 60" in figure
    rates, _ = curve_of(page, "Learning rate")
    assert len(rates) == 6
    assert "after 60 of 600 training steps" in " ".join(Page(page).text.split())


def test_a_quantity_that_never_was_finite_has_no_curve(tmp_path: Path) -> None:
    page = report(tmp_path, **{"metrics.jsonl": '{"step": 1, "loss": NaN}\n'})
    assert "No value can be drawn" in page
    assert '<svg class="curve"' not in page


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0, 0.0], [-3.0, 2.0], [1e-12, 1e12]])
def test_any_finite_values_make_a_curve(tmp_path: Path, values: list[float]) -> None:
    log = "".join(json.dumps({"step": i + 1, "loss": v}) + "\n" for i, v in enumerate(values))
    dots, _ = curve_of(report(tmp_path, **{"metrics.jsonl": log}), "Loss")
    assert len(dots) == len(values)
    assert all(0 <= x <= 360 and 0 <= y <= 210 for x, y in dots)


def test_a_page_keeps_below_its_limit_and_says_what_it_left_out(tmp_path: Path) -> None:
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


def test_fitting_keeps_the_ends() -> None:
    assert fitting([1] * 9, 9) == list(range(9))
    assert fitting([1] * 9, 5) == [0, 2, 4, 6, 8]
    assert fitting([1] * 9, 2) == [0, 8]
    assert fitting([5, 1, 1], 1) == [2]
    assert fitting([1, 2], 1) == []
    assert fitting([], 1) == []


def test_smooth_keeps_lines_and_averages_noise() -> None:
    x = np.arange(1000.0)
    inner = slice(150, -150)
    assert smooth(x, 3 * x + 1, x)[inner] == pytest.approx((3 * x + 1)[inner])
    noise = np.random.default_rng(0).normal(size=1000)
    # the variance of a Gaussian mean of standard deviation w over unit noise is 1 / (2 sqrt(pi) w)
    assert smooth(x, noise, x).var() == pytest.approx(1 / (2 * math.sqrt(math.pi) * 0.03 * 999), rel=0.5)


def test_thin_keeps_spikes_and_order() -> None:
    x, y = np.arange(50_000.0), np.ones(50_000)
    y[[123, 40_000]] = 9, -9
    thin_x, thin_y = thin(x, y)
    assert len(thin_x) <= 1000
    assert (thin_y.max(), thin_y.min()) == (9, -9)
    assert (np.diff(thin_x) > 0).all()


def test_a_curve_of_many_points_stays_small() -> None:
    x = np.arange(200_000.0)
    svg = curve(x, 1 + np.random.default_rng(0).random(len(x)), "Loss")
    assert len(svg) < 40_000
    line = re.search(r'class="mean" d="M([^"]*)"', svg)
    assert line
    heights = [float(point.split()[1]) for point in line[1].split("L")]
    assert max(heights) - min(heights) < 2  # the mean of so many is nearly constant


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


PICTURES = "[...document.images].map(image => image.complete && image.naturalWidth)"
SOUNDS = """Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise((done, fail) => {
  const told = () => done(audio.duration);
  audio.onerror = () => fail(new Error("audio cannot be read"));
  audio.readyState >= 1 ? told() : (audio.onloadedmetadata = told, audio.preload = "metadata", audio.load());
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
    told = " ".join(entry["entry"]["text"] for entry in browser.of("Log.entryAdded"))
    assert "Loading the image 'http://polydiff.invalid/x.png' violates" in told
    assert "Connecting to 'http://polydiff.invalid/y' violates" in told
    reasons = {failed.get("blockedReason") for failed in browser.of("Network.loadingFailed")}
    assert reasons == {"csp"}  # stopped by the page's policy, not by a missing network


@pytest.mark.timeout(120)
def test_without_javascript_every_set_is_shown(tmp_path: Path, browser: Browser) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(write_report(make_run(tmp_path / "run")).as_uri())
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate(SHOWN) == ["step 100", "step 300", "step 600"]
    assert browser.evaluate('document.querySelector(".control").offsetParent') is None
