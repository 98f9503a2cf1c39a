"""Metrics of molecules: findings about each sample, then metrics of the whole set."""
