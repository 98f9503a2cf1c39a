"""Molecules with bonds of their own: `codec` makes states of several parts of them, `network` predicts these parts."""
