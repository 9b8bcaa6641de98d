"""What the accelerator and the description language cannot do: one small function per rule, its docstring is its text.

Modules of early phases import nothing of later stages, because those stages check their rules themselves; all rules
together are in :mod:`ai8x_tool.rules.catalogue`.
"""
