"""Compatibility modules for files written for the reference trainer, under the names that they import.

``import ai8x`` imports :mod:`ai8x_tool.compat.ai8x`, ``import ai8x_blocks`` imports :mod:`ai8x_tool.nn.blocks`.
"""
