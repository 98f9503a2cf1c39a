"""Gaussian diffusion as a process: its configuration checks, its plan of a request, its bounds."""
