"""The small network of the command line's tests."""

from tests.cli.conftest import ai8x, states, workspace

__all__ = ["ai8x", "states", "workspace"]
