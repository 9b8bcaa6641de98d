"""What the accelerator cannot do: one small function per rule, its docstring is the rule's text."""

from ai8x_tool.rules.base import Rule, Subject, check_rules
from ai8x_tool.rules.catalogue import PHASES

__all__ = ["PHASES", "Rule", "Subject", "check_rules"]
