"""Spaces of states that are not vectors of real numbers, and of states that consist of several parts.

`letters` holds spaces of categorical sites, such as the characters of a text or the bonds of a molecule. `product`
joins spaces of several parts, such as positions and bonds, to one.
"""
