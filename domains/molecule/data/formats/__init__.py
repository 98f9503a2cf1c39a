"""Parts of the file formats of molecules: lists and tables of SMILES, frames of .xyz files, columns."""
