"""What the command line prints: tables of results, and the help on keys."""
