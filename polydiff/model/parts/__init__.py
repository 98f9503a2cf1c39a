"""What a model of states of several parts, or of letters, can do besides: given parts, and the order of letters."""
