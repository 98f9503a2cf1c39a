"""Worker processes with time and memory limits."""
