"""Work in separate processes with time limits."""
