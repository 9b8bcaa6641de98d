"""Readers of untrusted YAML, JSON and NumPy files, with limits of size, depth and number of values."""
