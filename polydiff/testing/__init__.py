"""The conformance kit: what a space, a backbone and a domain promise, as checks that say in a sentence what is broken.

`check_space` and `check_backbone` raise `AssertionError`; `check_domain` runs every check and returns what it found.
The built-in ones pass it, authors of plugins call it from their tests, and `polydiff domains check NAME` prints it.
`analytic` and `problems` hold models that are known exactly, to try samplers and guidance on.

Names resolve on first use: the exact models need no trainer.
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
