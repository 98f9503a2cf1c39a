"""Kernels in C++, compiled on first use, and the layers that use them."""
