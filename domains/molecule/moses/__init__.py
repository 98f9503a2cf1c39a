"""Sets of molecules compared as MOSES compares them (Polykovskiy et al., 2020, https://arxiv.org/abs/1811.12823)."""
