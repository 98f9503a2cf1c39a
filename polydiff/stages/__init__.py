"""Runs that stand on runs: a diffusion in the codes of an autoencoder."""
