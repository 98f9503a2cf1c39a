"""Verbs that give runs away and take models in."""
