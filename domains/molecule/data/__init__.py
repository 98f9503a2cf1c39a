"""Data of molecules: the enumeration, QM9, files, and the cache of computed geometries."""
