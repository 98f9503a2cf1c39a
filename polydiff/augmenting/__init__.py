"""Data sets of samples: written as a folder to train on, without copies, and judged by what a classifier learns."""
