"""From a network to a C project."""
