"""How sounds are judged: features, pitch, a trained judge, and distances to a reference."""
