"""Metrics that evaluations of every domain share. They know no model and no domain."""
