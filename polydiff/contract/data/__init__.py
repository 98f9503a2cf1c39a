"""What domains share when they read data: splits, identity, excluded files, measured statistics and noise ranges."""
