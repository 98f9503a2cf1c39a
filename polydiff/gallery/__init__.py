"""Samples on disk: files, manifests and HTML fragments."""
