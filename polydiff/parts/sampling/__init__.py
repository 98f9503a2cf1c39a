"""Sampling of parts: `rows` makes the rows of a plan, `execute` runs them, `plan` does so for each batch."""
