"""Where sounds come from: the synthesiser, folders, tables, archives, arrays, and a user's own inputs."""
