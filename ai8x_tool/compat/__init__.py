"""Modules for files written for the reference trainer, under the names that they import.

``import ai8x`` finds :mod:`ai8x_tool.compat.ai8x`, ``import ai8x_blocks`` finds :mod:`ai8x_tool.nn.blocks`.
"""
