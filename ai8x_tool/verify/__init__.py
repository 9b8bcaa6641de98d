"""Proof that each stage computes what the one before it does."""

from ai8x_tool.verify.agreement import Agreement, compare_outputs

__all__ = ["Agreement", "compare_outputs"]
