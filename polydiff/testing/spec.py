"""Checks of a domain's card: it imports nothing heavy, and its presets are complete."""

from __future__ import annotations

import subprocess
import sys

from polydiff.config.merge import resolve
from polydiff.config.saved import config_from
from polydiff.contract.discover import domain_config_class, load_domain_spec
from polydiff.testing.space import hold
from polydiff.training.checks import check_config

LIGHT = """
import sys
from polydiff.contract.discover import domain_config_class, load_domain_spec
domain_config_class(load_domain_spec(sys.argv[1]))
heavy = {"torch", "torchaudio", "torchvision", "torch_geometric", "rdkit", "sklearn", "matplotlib"}
print(*sorted(heavy & set(sys.modules)))
"""


def check_spec(name: str) -> str:
    """Check the card: import-light, with presets that make configurations."""
    spec = load_domain_spec(name)
    hold(bool(spec.summary), "The spec has no summary.")
    for preset in spec.presets:
        config = resolve(name, preset).config
        check_config(config)
        hold(config_from(config.model_dump(mode="json")) == config, f"Preset {preset} does not survive JSON.")
    default = domain_config_class(spec).model_validate({})
    hold(default.domain == name, f"The configuration calls its domain {default.domain!r}, the spec {name!r}.")
    run = subprocess.run([sys.executable, "-c", LIGHT, name], capture_output=True, text=True, check=False)  # noqa: S603
    hold(run.returncode == 0, f"The configuration cannot be imported by itself: {run.stderr.strip()[-300:]}")
    hold(not run.stdout.strip(), f"Spec and configuration import {run.stdout.strip()}; they must load on use.")
    return f"presets {', '.join(spec.presets)}"
