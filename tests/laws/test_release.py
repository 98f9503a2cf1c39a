"""Release habits: one version, and the files around it agree with the project."""

from __future__ import annotations

import tomllib

import yaml
from repository import ROOT
from setuptools.config.expand import read_attr

import polydiff


def test_the_version_has_one_home() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    places = project["tool"]["setuptools"]["package-dir"]
    attribute = project["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert "version" not in project["project"]
    assert read_attr(attribute, places, ROOT) == polydiff.__version__  # as a build reads it, without an import
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == polydiff.__version__
    assert citation["license"] in project["project"]["license"]


def test_continuous_integration_runs_what_developers_run() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert runs == [".ci/run"]
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text())
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert all(hook["entry"].split()[0] == ".venv/bin/ruff" for hook in hooks)
