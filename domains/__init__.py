"""Modalities: image, audio, molecule and sequence, each found through its entry point as anyone's is."""
