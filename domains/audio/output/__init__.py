"""Sounds as HTML and as files."""
