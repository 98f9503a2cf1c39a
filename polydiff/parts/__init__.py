"""Processes beyond the Gaussian one: states of letters, of angles and rotations, and of several parts at once.

A state consists of named parts, each with a kernel: how the part is corrupted, what the network says of it, and how a
sampler moves it. One clock drives all parts, and one call of the network serves them. A process of one part, such as
`process=masked`, is the case of one kernel.

`kernel` is the interface of kernels and where they are registered; `letters` holds the categorical one. `schedule` maps
time to levels. `network` joins kernels and a backbone, `objective` trains it, `guidance` and `sampling` draw, `bound`
bounds the likelihood. `checks` checks configurations, and `process` registers the processes.
"""
