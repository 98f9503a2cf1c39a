"""Processes that work together: work dealt out, tensors divided, what is said when one fails, starts on Ray."""
