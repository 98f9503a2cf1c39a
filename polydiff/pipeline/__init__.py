"""Runs in a row that are trained and sampled as one: latent diffusion, cascades, prior and decoder."""
