"""Modalities: image, audio and molecule, each found through its entry point as anyone's is."""
