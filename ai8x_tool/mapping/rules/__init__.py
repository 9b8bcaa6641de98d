"""Rules of the hardware about networks in their places: one small function per rule, its docstring is its text."""
