"""How rules are checked and reported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.hardware import HardwareView
from ai8x_tool.mapping.mapping import MappingOptions, input_processors
from ai8x_tool.network.network import Layer, Network


@dataclass(frozen=True, eq=False)
class Subject:
    """What a rule looks at: one layer, as described and as executed, in its network."""

    network: Network
    layer: Layer
    view: HardwareView
    options: MappingOptions

    @property
    def device(self) -> Device:
        """The part."""
        return self.network.device

    @property
    def processors(self) -> int:
        """The layer's input processors, repeated over all quadrants in quad mode."""
        return input_processors(self.network, self.layer, self.options)

    @property
    def is_start(self) -> bool:
        """True for the layer executed first."""
        return self.layer.index == self.network.start.index

    @property
    def is_final(self) -> bool:
        """True for the layer executed last."""
        return self.layer.index == self.network.final.index


@dataclass(frozen=True)
class Finding:
    """A broken rule: the offending values, and what would fix it."""

    values: str
    fix: str | None = None


Rule = Callable[[Subject], Finding | None]
"""``constraint_*`` functions are errors, ``caution_*`` warnings, ``hint_*`` remarks."""


def rule_text(rule: Rule) -> str:
    """Return the rule's sentence: the first paragraph of its docstring."""
    text = inspect.getdoc(rule) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def check_rules(rules: Sequence[Rule], subjects: Sequence[Subject], console: Console) -> None:
    """Check every rule on every layer; the first broken constraint ends the check with Ai8xError."""
    for rule in rules:
        for subject in subjects:
            finding = rule(subject)
            if finding is None:
                continue
            message = f"{rule_text(rule)}: {finding.values}"
            kind = getattr(rule, "__name__", "").split("_")[0]
            if kind == "constraint":
                raise Ai8xError(message, where=subject.layer.where, fix=finding.fix)
            hint = f" ({finding.fix})" if finding.fix else ""
            report = console.warn if kind == "caution" else console.detail
            report(f"{subject.layer.where}: {message}{hint}")
