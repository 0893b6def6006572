"""Generators of synthetic data sets, one module each."""
