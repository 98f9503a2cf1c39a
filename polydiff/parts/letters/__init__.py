"""Categorical parts: `kernel` is the diffusion of letters, `law` how one site moves, `samplers` has the samplers."""
