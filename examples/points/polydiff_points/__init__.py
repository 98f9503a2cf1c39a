"""Points in the plane. This module is read by every command, so it imports nothing heavy."""

from polydiff import DomainSpec

SPEC = DomainSpec(
    name="points",
    summary="Points on the arms of a spiral, by arm.",
    config="polydiff_points.config:PointsConfig",
    factory="polydiff_points.domain:Points",
    presets={"quick": {}, "small": {"backbone.hidden": 512, "train.steps": 20_000}},
)
