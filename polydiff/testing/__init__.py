"""The conformance kit: what a space, a backbone and a domain promise, as checks that say in a sentence what is broken.

`check_space` and `check_backbone` raise `AssertionError`; `check_domain` runs every check and returns what it found.
The built-in ones pass it, authors of plugins call it from their tests, and `polydiff domains check NAME` prints it.
"""

from polydiff.testing.backbone import check_backbone as check_backbone
from polydiff.testing.domain import check_domain as check_domain
from polydiff.testing.findings import Check as Check
from polydiff.testing.space import check_space as check_space

__all__ = ["Check", "check_backbone", "check_domain", "check_space"]
