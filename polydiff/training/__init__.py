"""From a configuration to a run: data order, optimizers, the training loop."""
