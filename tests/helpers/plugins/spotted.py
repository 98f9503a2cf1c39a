"""A third party's domain of several parts: points on a ring with a colour each. This part is its configuration.

`data.fault` breaks one promise, so that tests can see it caught.
"""

from __future__ import annotations

from pydantic import Field
from ring import RingConfig

from polydiff.contract.sections.parts import PartConfig
from polydiff.contract.spec import DomainSpec


def parts() -> dict[str, PartConfig]:
    return {"point": PartConfig(process="gaussian"), "colours": PartConfig(process="masked")}


class SpottedConfig(RingConfig):
    domain: str = "spotted"
    process: str = "joint"
    parts: dict[str, PartConfig] = Field(default_factory=parts)


SPEC = DomainSpec(
    name="spotted",
    summary="Points on a ring, with colours.",
    config="spotted:SpottedConfig",
    factory="spotted_domain:Spotted",
    presets={"quick": {}},
)
