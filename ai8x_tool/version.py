"""Version of the package ai8x-tool."""

__version__ = "0.1.0"
