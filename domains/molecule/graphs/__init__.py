"""Molecules with bonds of their own: `codec` makes states of several parts of them, `network` sees and predicts these."""
