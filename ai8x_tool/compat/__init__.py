"""What files written for the reference trainer find under the names they import.

``import ai8x`` gives :mod:`ai8x_tool.compat.ai8x`, ``import ai8x_blocks`` gives :mod:`ai8x_tool.nn.blocks`.
"""
