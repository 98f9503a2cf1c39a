"""Contrastive pairs: encoders of examples and of texts whose vectors agree where an example and a text belong together."""
