"""Kinds of fault, one module each (`trial`)."""
