"""Decoded images: in memory, or, if they are many, in one file of the cache that is read as it is needed."""
