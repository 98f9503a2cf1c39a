"""Models on the hub of Hugging Face: their names, reading and sending them. Nothing else knows the hub's library."""
