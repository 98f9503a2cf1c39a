"""Molecules and what RDKit says of them: geometry, bonds, properties, composition and size."""
