"""Control: asking for more than a condition, with any trained model. Wrappers of a denoiser, and ways to sample."""
