"""Metrics of sounds: features, pitch, trained classifiers, and distances to reference clips."""
