"""Pages of the site that are made from the program: commands, keys, the interface in Python, results, changes.

The start page shows a molecule in the viewer of reports.

`write` is called when the site is built (docs/conf.py); the pages are not kept in the repository.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
API = {
    "Samples and runs": (
        "polydiff.training.trainer",
        "polydiff.model.model",
        "polydiff.contract.domain",
        "polydiff.model.edit",
        "polydiff.model.restore",
        "polydiff.model.solve",
        "polydiff.pipeline.chain",
        "polydiff.pipeline.train",
        "polydiff.pipeline.evaluate",
        "polydiff.judging.evaluate",
        "polydiff.report.page",
        "polydiff.config.merge",
    ),
    "The core": (
        "polydiff.core.space",
        "polydiff.core.conditions",
        "polydiff.core.streams",
        "polydiff.core.objective",
        "polydiff.core.process.process",
        "polydiff.core.process.sampling",
        "polydiff.core.process.abilities",
        "polydiff.core.registry",
        "polydiff.training.loop",
        "polydiff.training.data",
    ),
    "Gaussian diffusion": (
        "polydiff.gaussian.schedule.base",
        "polydiff.gaussian.target",
        "polydiff.gaussian.denoise",
        "polydiff.gaussian.forward",
        "polydiff.gaussian.loss.base",
        "polydiff.gaussian.sampling.plan",
        "polydiff.gaussian.sampling.execute",
        "polydiff.gaussian.guidance.guided",
        "polydiff.gaussian.control.known",
        "polydiff.gaussian.likelihood.bounds",
        "polydiff.gaussian.likelihood.flow",
    ),
    "Domains, backbones, trackers": (
        "polydiff.contract.spec",
        "polydiff.contract.abilities",
        "polydiff.contract.editing",
        "polydiff.contract.backbone",
        "polydiff.contract.tasks.task",
        "polydiff.contract.tasks.inpaint",
        "polydiff.contract.tasks.enlarge",
        "polydiff.contract.fields",
        "polydiff.contract.data.splits",
        "polydiff.contract.data.quarantine",
        "polydiff.contract.sections.run",
        "polydiff.contract.sections.data",
        "polydiff.contract.sections.network",
        "polydiff.contract.sections.training",
        "polydiff.contract.sections.sampling",
        "polydiff.backbones.config",
        "polydiff.backbones.embed",
        "polydiff.metrics.results",
        "polydiff.tracking.spec",
        "polydiff.tracking.tracker",
    ),
    "Tests": (
        "polydiff.testing.domain",
        "polydiff.testing.backbone",
        "polydiff.testing.space",
        "polydiff.testing.analytic",
    ),
}
"""Heading -> modules whose public names users and authors of plugins call."""


def write(folder: Path) -> None:
    """Write all generated pages to a folder, in place of those of an earlier build."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "api").mkdir(parents=True)
    pages = {
        "commands.md": commands(),
        "keys.md": keys(),
        "results.md": (ROOT / "benchmarks" / "RESULTS.md")
        .read_text()
        .replace("# Results", "# Recorded results", 1)
        .replace("](../docs/", "](../"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "](../"),
        "names.rst": names(),
        "more.md": more(),
        **{f"api/{slug(title)}.rst": api(title, modules) for title, modules in API.items()},
    }
    for name, text in pages.items():
        (folder / name).write_text(text)
    (folder / "static").mkdir()
    (folder / "static" / "molecules.js").write_text(viewer(), encoding="utf-8")


STILL = re.compile(r'<img src="_static/molecules\.png"[^>]*>')
"""The picture of the start page in place of which the site shows a molecule that can be turned."""


def viewer() -> str:
    """Return the script of the viewer."""
    from polydiff.domains.molecule.output.show import script

    return script()


def with_molecule(page: str) -> str:
    """Return the start page with a molecule in 3-D in place of a picture of some, and the script that shows it.

    Raises:
        ValueError: The page has no such picture.
    """
    from rdkit import Chem

    from polydiff.domains.molecule.chemistry.geometry import Molecule, atomic_numbers, positions
    from polydiff.domains.molecule.metrics.examine import PerceivedSample
    from polydiff.domains.molecule.output.show import show

    mol = Chem.MolFromMolFile(str(DOCS / "start" / "molecule.sdf"), removeHs=False)
    sample = PerceivedSample.of(Molecule(atomic_numbers(mol), positions(mol)[0]))
    fragment = show([sample], [""]).replace('class="molecules"', 'class="molecules" data-live', 1)
    if not STILL.search(page):
        raise ValueError("The start page has no picture of molecules.")
    text = STILL.sub(lambda _: fragment, page)
    text = text.replace("<b>Molecules</b>", '<span class="hint">drag to rotate</span><b>Molecules</b>', 1)
    return f'{text}\n<script src="_static/molecules.js" defer></script>\n'


def slug(title: str) -> str:
    """Return a title as the name of a file."""
    return re.sub(r"\W+", "_", title.lower()).strip("_")


def commands() -> str:
    """Return the page of the command line: each verb with its help, as the program prints it."""
    from polydiff.cli import VERBS
    from polydiff.cli.parsing import parser_of
    from polydiff.contract.discover import load

    parts = [
        "# Commands\n",
        "Each verb has this help: `polydiff VERB --help`. Verbs that train also take [keys](keys.md).\n",
    ]
    os.environ["COLUMNS"] = "100"
    for verb, (place, summary) in VERBS.items():
        function = load(place)
        parts.append(f"## polydiff {verb}\n\n{summary[0].upper()}{summary[1:]}.\n")
        for words in [["check"], ["prepare"]] if verb == "data" else [[]]:
            parts.append(f"```text\n{parser_of(function, words).format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def keys() -> str:
    """Return the page of keys: those that all domains share, then those of each domain's own data and network."""
    from polydiff.cli import main

    parts = [
        "# Keys of a configuration\n",
        "`polydiff train --domain NAME --help` prints these tables, with the values of a preset.\n",
    ]
    for domain in ("image", "audio", "molecule", "sequence"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main(["train", "--domain", domain, "--help"])
        text = printed.getvalue()
        parts.append(f"## {domain}\n\n```text\n{text[text.index('Keys of') :].rstrip()}\n```\n")
    return "\n".join(parts)


def names() -> str:
    """Return the page of the names that `import polydiff` offers, each with a link to where it is described."""
    import polydiff

    rows = [
        f"   * - `{name} <{polydiff._HOME_OF[name]}.{name}>`\n     - `{summary(getattr(polydiff, name))}`".replace(
            f"<{polydiff._HOME_OF[name]}", f"<polydiff.{polydiff._HOME_OF[name]}"
        )
        for name in polydiff.__all__
    ]
    rows = [re.sub(r"- `(?!\w+ <)(.*)`$", r"- \1", row) for row in rows]
    head = "Names of polydiff\n=================\n\nEach name is imported from its module on first use.\n\n"
    return head + ".. list-table::\n   :widths: 20 80\n\n" + "\n".join(rows) + "\n"


def summary(thing: object) -> str:
    """Return the first line of an object's docstring, its signs escaped; "" for a plain value."""
    doc = type(thing).__doc__ if not callable(thing) and hasattr(thing, "kind") else thing.__doc__
    return re.sub(r"([*|_])", r"\\\1", (doc or "").strip().split("\n")[0].replace("`", ""))


def api(title: str, modules: tuple[str, ...]) -> str:
    """Return a page of modules, described by their docstrings."""
    parts = [f"{title}\n{'=' * len(title)}\n"]
    for module in modules:
        parts.append(
            f"{module}\n{'-' * len(module)}\n\n.. automodule:: {module}\n   :members:\n   :show-inheritance:\n"
        )
    return "\n".join(parts)


def more() -> str:
    """Return the page of pages that the start page does not list, so that none is out of reach."""
    listed = set(re.findall(r"^(?:[^<\n]*<)?([\w/]+)>?$", (DOCS / "index.md").read_text(), flags=re.M))
    pages = [path.relative_to(DOCS).with_suffix("").as_posix() for path in sorted(DOCS.rglob("*.md"))]
    left = [page for page in pages if page not in listed and not page.startswith("generated/") and page != "index"]
    rows = "\n".join(f"/{page}" for page in left)
    return f"# More\n\n```{{toctree}}\n{rows}\n```\n" if rows else "# More\n\nThe navigation lists all pages.\n"
