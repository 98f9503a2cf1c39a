"""Checks and exact models for processes of parts: `kernel` has the rules of kernels, `letters` exact laws of words."""
