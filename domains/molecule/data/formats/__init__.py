"""Parts of the file formats of molecules: numeric columns, and frames of .xyz files."""
