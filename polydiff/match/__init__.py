"""Contrastive pairs: encoders of examples and of texts, whose vectors agree where both belong together."""
