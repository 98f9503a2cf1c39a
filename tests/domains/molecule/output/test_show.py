"""Drawings of molecules: the HTML fragment, and its rendering by a browser with and without WebGL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from molecule_cases import molecule

from polydiff.contract.domain import Samples
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import without_bonds
from polydiff.domains.molecule.metrics.examine import PerceivedSample
from polydiff.domains.molecule.output.sdf import record
from polydiff.domains.molecule.output.show import atoms, bonds, script, sheet, show, to_principal_axes, with_bonds
from polydiff.gallery.page import whole_page
from polydiff.support.errors import UserError

SMILES = ("CC=O", "C[C@H](O)F", "C#N", "c1ccoc1", "CO", "C")


def distances(r: np.ndarray) -> np.ndarray:
    return np.linalg.norm(r[:, None] - r, axis=-1)


def test_a_molecule_is_rotated_and_never_mirrored() -> None:
    one = molecule("C[C@H](O)F")
    places = to_principal_axes(one)
    assert distances(places) == pytest.approx(distances(one.positions.astype(np.float64)), abs=1e-5)
    assert (np.diff(places.std(0)) < 0).all()  # widest across, then up
    for size in range(4):  # whatever the axes are called
        shaken = Molecule(one.numbers, one.positions[:, np.roll([0, 1, 2], size)] * [1, 1, (-1) ** size])
        r = shaken.positions[1:4] - shaken.positions[0]
        s = to_principal_axes(shaken)[1:4] - to_principal_axes(shaken)[0]
        assert np.linalg.det(s) == pytest.approx(np.linalg.det(r), abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_atoms_and_positions_that_are_not_finite(n: int) -> None:
    for place in (0.0, 1.0, np.nan, np.inf):
        one = PerceivedSample.of(Molecule(np.full(n, 6, np.uint8), np.full((n, 3), place, np.float32)))
        page = show([one], ["caption"])
        assert "no molecule" in page
        assert not re.search(r"\b(nan|inf)\b", page, re.IGNORECASE)
        broken = not np.isfinite(place)
        assert ("not finite" in page, "data-atoms" in page, "<svg" in page) == (broken, not broken, not broken)


def test_samples_of_impossible_valences_are_drawn() -> None:
    """As those of a network that has learned little: nearly any bonds between any atoms."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(30):
        own = np.triu(rng.choice(4, size=(7, 7)), 1).astype(np.uint8)
        places = rng.normal(size=(7, 3)).astype(np.float32)
        made.append(Molecule(np.array([1, 1, 1, 6, 6, 8, 9], np.uint8), places, np.zeros(7, np.int8), own + own.T))
    pictures = {sheet([PerceivedSample.of(one)]) for one in made}
    assert len(pictures) == len(made)


def test_an_atom_without_finite_position_is_not_drawn_or_written() -> None:
    methane = molecule("C")
    methane.positions[1, 2] = np.nan
    assert np.isnan(without_bonds(methane).GetConformer().GetPositions()[1, 2])
    assert "data-atoms" not in show([PerceivedSample.of(methane)], [""])
    with pytest.raises(UserError, match="CH4 has positions that are not finite"):
        record(PerceivedSample.of(methane))


def test_atoms_and_bonds_as_text() -> None:
    one = PerceivedSample.of(molecule("CC=O"))
    found = [text.split() for text in atoms(one.molecule, to_principal_axes(one.molecule)).split(";")]
    assert [symbol for symbol, *_ in found] == list("CCOHHHH")
    pairs = [tuple(map(int, text.split())) for text in bonds(with_bonds(one)).split(";")]
    assert sorted(order for *_, order in pairs) == [1, 1, 1, 1, 1, 2]
    assert {tuple(sorted(p[:2])) for p in pairs if p[2] == 2} == {(1, 2)}
    ring = bonds(with_bonds(PerceivedSample.of(molecule("c1ccoc1"))))
    assert sorted(int(text.split()[2]) for text in ring.split(";")) == [1] * 7 + [2] * 2  # Kekule's


def test_captions_are_escaped() -> None:
    page = show([PerceivedSample.of(molecule("C"))], ["<script>alert(1)</script>"])
    assert "<script" not in page


def test_the_script_contains_its_licence() -> None:
    text = script()
    assert "University of Pittsburgh and contributors" in text
    assert "createViewer" in text
    assert "</script" not in text.lower()


class Domain:
    def __init__(self, samples_shown: list[PerceivedSample]) -> None:
        self.samples_shown = samples_shown

    def show(self, samples: Samples) -> str:
        return show(self.samples_shown, [""] * len(self.samples_shown))

    def scripts(self) -> dict[str, str]:
        return {"molecules.js": script()}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "show.html"
    path.write_text(whole_page(Domain([PerceivedSample.of(molecule(s)) for s in SMILES]), Samples([])), "utf-8")  # type: ignore[arg-type]
    return path.as_uri()


@pytest.fixture(params=[True, False], ids=["webgl", "no webgl"])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path / "profile", webgl=request.param)
    yield browser
    browser.close()


CLICK = "[...document.querySelectorAll('.still')].slice(0, {}).forEach(box => box.click())"
PICTURES = """new Promise(done => { const look = () => {
  const drawn = [...document.querySelectorAll('img.space')].filter(image => !image.hidden && image.naturalWidth > 99);
  drawn.length == %d ? done(drawn.length) : setTimeout(look, 50);
}; look(); })"""


@pytest.mark.timeout(180)
def test_molecules_are_shown_in_3d_if_the_browser_has_webgl(
    browser: Browser, page: str, request: pytest.FixtureRequest
) -> None:
    webgl = "no webgl" not in request.node.name
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('figure svg').length") == len(SMILES)
    assert browser.evaluate("document.querySelectorAll('canvas').length") == 0  # none before a click
    assert browser.evaluate("document.querySelectorAll('.molecules-mode button').length") == (2 if webgl else 0)
    if webgl:
        browser.evaluate(CLICK.format(6))
        assert browser.evaluate("document.querySelectorAll('canvas').length") == 4  # the last four
        browser.evaluate("document.querySelector('figure canvas').closest('figure').querySelector('button').click()")
        assert browser.evaluate("document.querySelectorAll('canvas').length") == 3
        browser.evaluate("document.querySelector('button[value=space]').click()")
        assert browser.evaluate(PICTURES % len(SMILES)) == len(SMILES)
        assert browser.evaluate("document.querySelectorAll('figure canvas').length") == 0
        browser.evaluate("document.querySelector('button[value=flat]').click()")
        assert browser.evaluate("[...document.querySelectorAll('figure svg')].every(svg => svg.checkVisibility())")
    urls = {request["request"]["url"] for request in browser.of("Network.requestWillBeSent")}
    assert {url.partition(":")[0] for url in urls} <= {"file", "data", "blob", "about"}
    assert browser.of("Log.entryAdded") == []
    assert browser.of("Runtime.exceptionThrown") == []
    assert [entry for entry in browser.of("Runtime.consoleAPICalled") if entry["type"] != "log"] == []
