"""Evaluation of samples and likelihood of test data."""
