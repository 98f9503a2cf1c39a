"""How images are judged: a trained judge, distances of sets, and distances of pairs."""
