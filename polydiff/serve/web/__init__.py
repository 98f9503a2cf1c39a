"""The server's side of HTTP: addresses, checks before them, and the documents that describe them."""
