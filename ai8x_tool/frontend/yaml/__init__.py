"""Network descriptions in YAML: reading and writing."""
