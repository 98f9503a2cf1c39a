"""Gaussian diffusion, x = x_0 + s eps.

From data to samples: `forward` adds noise, `target` says what a network predicts, `denoise` turns its output into the
estimate D = E[x_0 | x]. Packages: `schedule` (noise levels), `loss` and `objective` (training), `sampling` (samplers),
`guidance` and `control` (conditioning of samples), `likelihood` (bounds on -log p), `process` (all of this as one
process).

`wrapper` holds what all wrappers of a denoiser share; `self_conditioning` and `step_size` are two of them. `ode`
integrates ordinary differential equations, by the methods in `tableaux`.
"""
