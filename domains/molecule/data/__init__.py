"""Where molecules come from: the enumerated list, QM9, files, and the cache of computed geometries."""
