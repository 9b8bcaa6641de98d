"""Lowering of a mapping to the accelerator's register writes and memory images.

There is one small module per topic; `configure.py` lists the function that computes each register.
"""

from ai8x_tool.lowering.options import LoweringOptions
from ai8x_tool.lowering.program import Program, ProgramSample, Wait, Write, lower, lower_sample

__all__ = ["LoweringOptions", "Program", "ProgramSample", "Wait", "Write", "lower", "lower_sample"]
