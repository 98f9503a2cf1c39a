"""Conditions of a data set: between the values of people and tensors, and drawn for new samples."""
