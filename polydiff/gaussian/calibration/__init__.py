"""Calibration: noise levels and coefficients of a sampler, fitted to one network at one number of evaluations.

`fit` is the search, `recall` spares it evaluations that it has made before. The sampler that uses the result is
`polydiff.gaussian.sampling.calibrated`.
"""
