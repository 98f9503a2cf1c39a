"""Gaussian diffusion as a process (`polydiff.core.process`).

`process` holds the process and registers it. `checks` checks a configuration, `try_sampling` its section `sample`.
`plan` plans the sampling of a request and runs it, `bounds` computes the bounds on the likelihood.
"""
