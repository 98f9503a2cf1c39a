"""Self-checks: the machine, the data, a dry run, a profile, overfitting one batch."""
