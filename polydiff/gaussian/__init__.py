"""Gaussian diffusion, x = x_0 + s eps: schedules, losses, objectives, samplers, guidance, control, likelihood."""
