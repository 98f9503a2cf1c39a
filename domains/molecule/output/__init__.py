"""Output of molecules: drawings in HTML with a 3-D viewer, and .sdf files."""
