"""Processes: the interface between a kind of diffusion and training, sampling, judging and editing.

A process maps clean states to a prior, and samples of the prior back to clean states. The rest of polydiff knows no
noise level, no schedule and no sampler. It builds a network and an objective (`process.Process`), plans the sampling
once a request (`sampling.Generates.plan`), and runs this plan once a batch (`sampling.Plan.run`). A state is a tensor
(R, ...) or a mapping of parts, as the process and its spaces agree.

Further abilities have protocols of their own, in `abilities` and `polydiff.core.likelihood.Bounds`; a plan may be able
to show its way (`sampling.Traces`). To add a process, write an object with the methods of `process.Process` and of the
abilities that it has, and register it in `process.PROCESSES`.
"""
