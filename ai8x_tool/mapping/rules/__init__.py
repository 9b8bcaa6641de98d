"""Rules of the hardware about placed networks: one small function per rule, whose docstring is the rule's text."""
