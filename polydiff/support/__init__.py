"""Helpers that know nothing of diffusion: errors, files, YAML, nested mappings, progress."""
