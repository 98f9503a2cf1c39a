"""Networks that map examples, or texts, to few numbers: an autoencoder, and the encoders of a contrastive pair."""
