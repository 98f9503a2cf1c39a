"""Processes that work together: work that is dealt out to them, and what is said when one fails."""
