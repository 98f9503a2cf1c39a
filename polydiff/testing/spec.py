"""Checks of a domain's spec: it imports no heavy library, and its presets are complete."""

from __future__ import annotations

import subprocess
import sys

from polydiff.config.merge import resolve
from polydiff.config.saved import config_from
from polydiff.contract.discover import domain_config_class, load_domain_spec, provider
from polydiff.testing.space import hold
from polydiff.training.checks import check_config

PRINT_HEAVY_IMPORTS = """
import sys
from polydiff.contract.discover import domain_config_class, load_domain_spec
domain_config_class(load_domain_spec(sys.argv[1]))
heavy = {"torch", "torchaudio", "torchvision", "torch_geometric", "rdkit", "sklearn", "matplotlib"}
print(*sorted(heavy & set(sys.modules)))
"""


def check_spec(name: str) -> str:
    """Check that a spec imports no heavy library and that its presets are valid configurations."""
    spec = load_domain_spec(name)
    hold(bool(spec.summary), "The spec has no summary.")
    for preset in spec.presets:
        config = resolve(name, preset).config
        check_config(config)
        hold(
            config_from(config.model_dump(mode="json")) == config,
            f"Preset {preset} changes when it is saved as JSON and read again.",
        )
    default = domain_config_class(spec).model_validate({})
    hold(default.domain == name, f"The domain is {default.domain!r} in the configuration and {name!r} in the spec.")
    presets = f"presets {', '.join(spec.presets)}"
    if not provider("domain", name):  # a file after --plugin, which holds the network's imports too
        return f"{presets}; imports are not checked, since no package provides the domain"
    command = [sys.executable, "-c", PRINT_HEAVY_IMPORTS, name]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    hold(run.returncode == 0, f"The configuration cannot be imported by itself: {run.stderr.strip()[-300:]}")
    hold(
        not run.stdout.strip(),
        f"The spec or its configuration imports {run.stdout.strip()}. Import it where it is used.",
    )
    return presets
