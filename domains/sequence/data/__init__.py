"""Texts to train on, and the user's own as inputs."""
