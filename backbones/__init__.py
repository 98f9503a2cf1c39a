"""Networks: the U-Net (1-D and 2-D), the EGNN and the MLP. None of them knows a domain."""
