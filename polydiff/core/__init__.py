"""What everything speaks: spaces, conditions, random streams, registries, and the protocol of a process."""
