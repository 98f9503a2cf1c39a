"""The site of the documentation: its links lead somewhere, its generated pages are complete, and it builds."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from repository import ROOT

from polydiff.cli import VERBS, main
from polydiff.cli.parsing import parser_of, read_words
from polydiff.config.merge import resolve
from polydiff.contract.discover import discover, load
from polydiff.tracking.spec import TrackerSpec
from polydiff.training.checks import check_config

DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "generated" not in path.parts]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1", "", page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*\]\([^`\n]*`", "x", text)  # code that looks like a link, such as a SMILES


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    heads = re.findall(r"^#+ +(.*)$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    lost = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link or path.startswith(("generated/", "mailto:")):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_the_start_page_lists_each_page_once_and_the_rest_follow(site: ModuleType) -> None:
    listed = [
        line
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), flags=re.S)
        for line in tree.splitlines()
        if line and not line.startswith(":")
    ]
    assert len(listed) == len(set(listed))
    made = {name.rsplit(".", 1)[0] for name in ["generated/commands.md", "generated/keys.md", "generated/names.rst"]}
    made |= {f"generated/api/{site.slug(title)}" for title in site.API}
    made |= {"generated/results", "generated/changelog", "generated/more"}
    assert made == {name for name in listed if name.startswith("generated/")}
    existing = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES}
    assert {name for name in listed if name not in made} <= existing
    left = {line[1:] for line in site.more().splitlines() if line.startswith("/")}
    assert left == existing - set(listed) - {"index"}


def test_the_modules_of_the_reference_exist(site: ModuleType) -> None:
    for modules in site.API.values():
        for module in modules:
            assert importlib.util.find_spec(module) is not None, module


def test_the_page_of_commands_shows_each_verb_and_its_options(site: ModuleType) -> None:
    page = site.commands()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [f"## polydiff {verb}" for verb in VERBS]
    for option in ("--dry-run", "--guidance-interval", "--keep PART", "--allow-changed-data", "--count N"):
        assert option in page


def codes(page: str) -> list[str]:
    """The words of code in the tables of a page."""
    rows = "\n".join(line for line in (DOCS / page).read_text().splitlines() if line.startswith("|"))
    return re.findall(r"`([^`\n]+)`", rows)


COMMANDS = [code for code in codes("coming_from.md") if code.startswith("polydiff ")]
FEATURES = [code for code in codes("features.md") if code.startswith("polydiff ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_for_those_who_come_from_elsewhere_exist(command: str) -> None:
    _, verb, *words = shlex.split(command)
    options = parser_of(load(VERBS[verb][0]))._option_string_actions
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word not in options]
    assert unknown == []
    if verb == "train" and "-c" not in words:
        domain, preset = (
            words[words.index(option) + 1] if option in words else None for option in ("--domain", "--preset")
        )
        keys = read_words([word for word in words if "=" in word])
        if preset != "latent":  # a pipeline
            assert resolve(domain, preset, words=keys).config.domain == domain


@pytest.mark.parametrize("command", FEATURES)
def test_commands_of_the_table_of_features_parse(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that only print are run; the options and keys of the others are read as the command reads them."""
    _, verb, *words = shlex.split(command)
    if verb in ("config", "presets") or words[:1] == ["list"]:
        misspelt = "optim.lrr" in command
        assert main([verb, *words]) == (2 if misspelt else 0)
        out, err = capsys.readouterr()
        assert "Did you mean 'optim.lr'?" in err if misspelt else out
        return
    parser = parser_of(load(VERBS[verb][0]), words)
    if verb in ("train", "domains"):
        args, rest = parser.parse_known_args(words)
        domain = args.domain if verb == "train" else args.name
        if "new" not in words:
            assert resolve(domain, words=read_words(rest)).config.domain == domain
        return
    assert parser.read(words)


def test_each_row_of_the_table_of_features_has_a_command_but_that_of_sweeps() -> None:
    rows = [line.split("|") for line in (DOCS / "features.md").read_text().splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows[1:] if "`polydiff" not in row[2]] == ["sweeps over keys"]
    assert {len(row) for row in rows} == {len(rows[0])}


KEYS = [
    code
    for code in codes("coming_from.md")
    if re.match(r"(schedule|target|loss|train|launch|backbone|track)[._\w]*=", code)
]


@pytest.mark.parametrize("code", KEYS)
def test_keys_for_those_who_come_from_elsewhere_exist(code: str) -> None:
    words = dict(re.findall(r"([\w.]+)=(\{[^}]*\}|\S+)", code))
    if "schedule_options.zero_terminal_snr" in words:
        words |= {"schedule": "scaled_linear", "target": "v", "sample.spacing": "time"}
    if words.get("track") not in (None, "tensorboard"):
        assert words["track"] in {plugin.name for plugin in discover(TrackerSpec)}
        return
    check_config(resolve("image", words=words).config)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """It is searched, links from names to their descriptions work, and nothing is fetched."""
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        'href="api/samples_and_runs.html#polydiff.training.trainer.train"'
        in (tmp_path / "generated" / "names.html").read_text()
    )
    assert (tmp_path / "searchindex.js").read_text().startswith("Search.setIndex(")
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|audio)[^>]*(?:src|href)=[\"'](?:https?:)?//[^\"']*", page.read_text()
        )
        assert fetched == [], page
