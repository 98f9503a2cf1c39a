"""Conformers by the Boltzmann law of torsions, drawn by the Metropolis method in many chains.

The law is p proportional to exp(-E / RT), with E the MMFF94 energy of the whole molecule. Half of the proposals turn
one bond by a normal angle, half to a uniform one, so that chains cross the barriers.
"""

import numpy as np

from polydiff_torsions.rotor import Array, Rotor

GAS = 1.987204e-3
"""Gas constant R, kcal/mol/K."""
CHAINS, BURN_IN, THIN = 256, 40, 10
"""Number of chains, and proposals for each torsion before the first conformer and between two."""
WIDTH = 0.4
"""Standard deviation of normal proposals, radians."""


def boltzmann(rotor: Rotor, n: int, kelvin: float, seed: int) -> Array:
    """Return n conformers as torsions (n, torsions), in (-pi, pi].

    Arguments:
        rotor: The molecule.
        n: Number of conformers.
        kelvin: Temperature.
        seed: Seed of all random numbers.
    """
    rng, beta, sites = np.random.default_rng(seed), 1 / (GAS * kelvin), len(rotor.torsions)
    angles = rng.uniform(-np.pi, np.pi, (CHAINS, sites))
    energies = rotor.energies(rotor.coordinates(angles))
    kept: list[Array] = []
    for step in range((BURN_IN + THIN * -(-n // CHAINS)) * sites):
        proposed = angles.copy()
        small = rng.random(CHAINS) < 0.5
        turn = np.where(small, rng.normal(0, WIDTH, CHAINS), rng.uniform(-np.pi, np.pi, CHAINS))
        proposed[np.arange(CHAINS), rng.integers(sites, size=CHAINS)] += turn
        found = rotor.energies(rotor.coordinates(proposed))
        taken = rng.random(CHAINS) < np.exp(-beta * (found - energies).clip(0))
        angles[taken], energies[taken] = proposed[taken], found[taken]
        if step >= BURN_IN * sites and (step + 1) % (THIN * sites) == 0:
            kept.append(angles.copy())
    return -np.remainder(-np.concatenate(kept)[:n] + np.pi, 2 * np.pi) + np.pi
