"""Captioned scenes of one to three coloured shapes, unlimited, with a detector that reads them back exactly."""
