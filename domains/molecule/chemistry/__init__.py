"""Chemistry of molecules with RDKit: geometries, bonds, properties, compositions and sizes."""
