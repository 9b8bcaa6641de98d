"""Checking and reporting of rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError


class Located(Protocol):
    """Subject of a rule. `where` is file, line and layer (or the file alone), empty for options.

    Subjects of early phases are named tuples: there are many, and a dataclass takes several times as long to import.
    """

    @property
    def where(self) -> str:
        """The place of the subject in messages."""


class Finding(NamedTuple):
    """A broken rule: the offending values, a fix, and the place if it is not the subject's own."""

    values: str
    fix: str | None = None
    where: str | None = None


S = TypeVar("S", bound=Located)
Rule = Callable[[S], "Finding | None"]
"""Rules named ``constraint_*`` are errors, ``caution_*`` warnings and ``hint_*`` remarks."""


def rule_text(rule: Rule[Any]) -> str:
    """Return the rule's sentence: the first paragraph of its docstring."""
    text = inspect.getdoc(rule) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def rule_kind(rule: Rule[Any]) -> str:
    """Return ``constraint``, ``caution`` or ``hint``."""
    return str(getattr(rule, "__name__", "")).split("_")[0]


def rule_code(rule: Rule[Any]) -> str:
    """Return the rule's short code, which ends its messages and identifies it in the documentation."""
    return code_of(str(getattr(rule, "__name__", "")))


def code_of(name: str) -> str:
    """Return the code for the name of a rule's function: ``output-width`` for ``constraint_output_width``."""
    return "-".join(name.split("_")[1:])


def _message(rule: Rule[Any], finding: Finding) -> str:
    return f"{rule_text(rule)}: {finding.values}"


class Violation(NamedTuple):
    """A broken rule with its message. `severity` is error, warning or remark, `rule` the name of its function."""

    severity: str
    rule: str
    message: str
    where: str = ""
    fix: str | None = None

    def __str__(self) -> str:
        """The violation as a line."""
        return str(self.error())

    def error(self) -> Ai8xError:
        """Return the violation as an exception."""
        return Ai8xError(self.message, where=self.where or None, fix=self.fix, code=code_of(self.rule))


class BrokenRuleError(Ai8xError):
    """A constraint that does not hold."""

    def __init__(self, violation: Violation) -> None:
        code = code_of(violation.rule)
        super().__init__(violation.message, where=violation.where or None, fix=violation.fix, code=code)
        self.violation = violation


_SEVERITIES = {"constraint": "error", "caution": "warning", "hint": "remark"}


def find(rule: Rule[S], subject: S) -> Violation | None:
    """Return the violation of `rule` by `subject`, None if there is none."""
    finding = rule(subject)
    if finding is None:
        return None
    name = str(getattr(rule, "__name__", ""))
    where = finding.where or subject.where
    return Violation(_SEVERITIES[rule_kind(rule)], name, _message(rule, finding), where, finding.fix)


def require(rule: Rule[S], subject: S) -> None:
    """Raise BrokenRuleError if `subject` breaks the constraint `rule`."""
    violation = find(rule, subject)
    if violation is not None:
        raise BrokenRuleError(violation)


def report(violation: Violation, console: Console) -> None:
    """Show a violation as a warning, whatever its severity; a remark is shown with -v only."""
    text = str(violation)
    if violation.severity == "remark":
        console.detail(text)
    else:
        console.warn(text, violation.rule)


def warn_about(rule: Rule[S], subject: S, console: Console) -> None:
    """Warn if `subject` breaks `rule`, whatever its kind; a hint is shown with -v only."""
    violation = find(rule, subject)
    if violation is not None:
        report(violation, console)


def check_rules(rules: Sequence[Rule[S]], subjects: Sequence[S], console: Console) -> None:
    """Check every rule on every subject; the first broken constraint ends the check with BrokenRuleError."""
    for rule in rules:
        constraint = rule_kind(rule) == "constraint"
        for subject in subjects:
            if constraint:
                require(rule, subject)
            else:
                warn_about(rule, subject, console)
