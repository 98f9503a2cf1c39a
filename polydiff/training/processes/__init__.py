"""Several processes that train one run: how a batch is divided, and what they agree on."""
