"""The vocabulary of all other packages: spaces, conditions, random streams, registries, processes, objectives."""
