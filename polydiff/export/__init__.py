"""Exports: a run as something that works without polydiff, or in another library."""
