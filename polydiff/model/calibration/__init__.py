"""Calibration of a model's sampler: `fit` finds it for a number of steps and a guidance, `use` is for requests."""
