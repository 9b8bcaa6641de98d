"""YAML files with source lines."""

from ai8x_tool.readers.yaml_file import Entry, read_yaml

__all__ = ["Entry", "read_yaml"]
