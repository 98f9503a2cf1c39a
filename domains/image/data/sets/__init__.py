"""Data sets of images in the layouts in which they are distributed."""
