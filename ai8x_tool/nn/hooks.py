"""Observation of a model's modules while it runs; hooks are attached and removed only here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Call(Generic[Module]):
    """One call of a module: the module, the name under which it is observed, and its arguments."""

    name: str
    module: Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def input(self) -> Any:
        """The first positional argument."""
        return self.args[0]


Before = Callable[[Call[Module]], object]
After = Callable[[Call[Module], Any], object]


@contextmanager
def observed_calls(
    modules: Iterable[tuple[str, Module]],
    *,
    before: Before[Module] | None = None,
    after: After[Module] | None = None,
) -> Iterator[None]:
    """Call `before` and `after` for every call of the named `modules` while the block runs.

    `before` receives the call, `after` the call and the output. Their return values are ignored; exceptions end the
    call. At the end of the block, also by an exception, all hooks are removed.
    """
    with ExitStack() as hooks:
        for name, module in modules:
            if before is not None:
                hooks.callback(_attach_before(name, module, before))
            if after is not None:
                hooks.callback(_attach_after(name, module, after))
        yield


def _attach_before(name: str, module: Module, action: Before[Module]) -> Callable[[], None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        action(Call(name, module, args, kwargs))

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _attach_after(name: str, module: Module, action: After[Module]) -> Callable[[], None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        action(Call(name, module, args, kwargs), output)

    return module.register_forward_hook(hook, with_kwargs=True).remove
