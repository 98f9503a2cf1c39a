"""Torsions of a flexible molecule. This module is read by every command, so it imports nothing heavy."""

from polydiff import DomainSpec

SPEC = DomainSpec(
    name="torsions",
    summary="Torsions of a flexible molecule by its Boltzmann law.",
    config="polydiff_torsions.config:TorsionsConfig",
    factory="polydiff_torsions.domain:Torsions",
    requires=("rdkit",),
    install='pip install "polydiff[molecule]"',
    presets={"quick": {"process": "circle"}},
)
