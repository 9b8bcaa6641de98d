"""How rules are checked and reported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError


class Located(Protocol):
    """What a rule looks at. `where` is file, line and layer (or the file alone), empty for options.

    Subjects of early phases are named tuples: there are many, and a dataclass takes several times as long to import.
    """

    @property
    def where(self) -> str:
        """Where messages say that the subject stands."""


class Finding(NamedTuple):
    """A broken rule: the offending values, what would fix it, and the place if it is not the subject's own."""

    values: str
    fix: str | None = None
    where: str | None = None


S = TypeVar("S", bound=Located)
Rule = Callable[[S], "Finding | None"]
"""``constraint_*`` functions are errors, ``caution_*`` warnings, ``hint_*`` remarks."""


def rule_text(rule: Rule[Any]) -> str:
    """Return the rule's sentence: the first paragraph of its docstring."""
    text = inspect.getdoc(rule) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def rule_kind(rule: Rule[Any]) -> str:
    """Return ``constraint``, ``caution`` or ``hint``."""
    return str(getattr(rule, "__name__", "")).split("_")[0]


def _message(rule: Rule[Any], finding: Finding) -> str:
    return f"{rule_text(rule)}: {finding.values}"


def require(rule: Rule[S], subject: S) -> None:
    """Raise Ai8xError if `subject` breaks the constraint `rule`."""
    finding = rule(subject)
    if finding is not None:
        raise Ai8xError(_message(rule, finding), where=(finding.where or subject.where) or None, fix=finding.fix)


def remark(rule: Rule[S], subject: S, console: Console) -> None:
    """Warn if `subject` breaks `rule`, whatever its kind; a hint is shown with -v only."""
    finding = rule(subject)
    if finding is None:
        return
    where = finding.where or subject.where
    fix = f" ({finding.fix})" if finding.fix else ""
    report = console.detail if rule_kind(rule) == "hint" else console.warn
    report(f"{where}: {_message(rule, finding)}{fix}" if where else f"{_message(rule, finding)}{fix}")


def check_rules(rules: Sequence[Rule[S]], subjects: Sequence[S], console: Console) -> None:
    """Check every rule on every subject; the first broken constraint ends the check with Ai8xError."""
    for rule in rules:
        constraint = rule_kind(rule) == "constraint"
        for subject in subjects:
            if constraint:
                require(rule, subject)
            else:
                remark(rule, subject, console)
