"""Where sounds come from: the synthesiser, folders, tables, archives and arrays; crops of them; and a user's own inputs."""
