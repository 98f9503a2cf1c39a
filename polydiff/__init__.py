"""polydiff."""
