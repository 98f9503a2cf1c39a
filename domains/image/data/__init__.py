"""Where images come from: digits, folders of files, and a user's own inputs."""
