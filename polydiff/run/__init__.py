"""A run on disk: its folder, checkpoints, averages of the weights, and the runs that it stands on."""
