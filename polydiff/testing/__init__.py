"""The conformance kit: checks of the rules for spaces, backbones and domains. Each failure states the broken rule.

`space` and `backbone` hold the checks `check_space` and `check_backbone`, which raise AssertionError. `domain` holds
`check_domain`, which runs all checks of a domain (`subject`) and returns their outcomes (`findings`). `spec` and
`output` hold the checks of a domain's spec and of what it does with samples. The built-in domains pass. Authors of
plugins call the checks in their tests, and `polydiff domains check NAME` prints the outcomes.

`analytic` holds models that are known exactly, to test samplers and guidance on, `exact_flow` their probability flow,
`gaussian_law` the exact law of a sampler's plan on Gaussian data, and `problems` the suites of such models that
samplers are measured on.

Names resolve on first use, because the exact models need no trainer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polydiff.testing.backbone import check_backbone as check_backbone
    from polydiff.testing.domain import check_domain as check_domain
    from polydiff.testing.findings import Check as Check
    from polydiff.testing.space import check_space as check_space

_HOME_OF = {"Check": "findings", "check_backbone": "backbone", "check_domain": "domain", "check_space": "space"}

__all__ = ["Check", "check_backbone", "check_domain", "check_space"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'polydiff.testing' has no attribute {name!r}")
    return getattr(import_module(f"polydiff.testing.{_HOME_OF[name]}"), name)
