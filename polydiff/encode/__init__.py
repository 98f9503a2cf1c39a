"""Autoencoders: a network that maps states to few numbers and back, and the objective that trains it."""
