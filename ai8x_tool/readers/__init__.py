"""Reading files from outside: YAML, JSON and NumPy arrays, within bounds of size, depth and number of values."""
