"""Hypothesis strategies: legal networks of all operators and modes, and descriptions that differ from legal ones."""
