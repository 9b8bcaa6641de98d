"""Execution of plugin files with the imports that they expect, which are removed afterwards.

While a plugin runs, ``import ai8x`` and ``import ai8x_blocks`` find the modules of this package, and its neighbors
(other plugin files) can be imported as in the reference trainer: ``from datasets.mine import X``, ``from .mine import
X``, ``import helper`` for files next to the folder. Installed libraries take precedence, except that ``models.X``,
``datasets.X`` and ``utils.X`` are neighbors if such files exist. Modules of the reference trainer, such as
``utils.object_detection_utils``, are those of this package unless other modules have their names. Afterwards all of
these names are removed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import copy_context
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ai8x_tool.compat.trainer import MODULES as TRAINER_MODULES
from ai8x_tool.compat.trainer import PACKAGE as TRAINER_PACKAGE
from ai8x_tool.errors import Ai8xError

Result = TypeVar("Result")

FOLDERS = ("models", "datasets", TRAINER_PACKAGE)
LIBRARY_NAMES = ("ai8x", "ai8x_blocks")

_PACKAGES = "ai8x_plugins_"
"""Name prefix of the packages that contain plugins as modules."""


def load_plugin(path: Path) -> ModuleType:
    """Execute a plugin file once and return its module.

    The module has a unique name, so that no plugin can shadow a library. Raises Ai8xError naming file and line.
    """
    path = path.resolve()
    package = _package(path.parent)
    name = f"{package.__name__}.{path.stem}_{zlib.crc32(str(path.stat().st_mtime_ns).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        call_plugin(path, spec.loader.exec_module, module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _FromSource(SourceFileLoader):
    """Loader that always compiles: stored bytecode may be that of an older file of the same size and second."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Raise OSError, as if the modification time were unknown."""
        raise OSError(path)


def call_plugin(path: Path, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """Call a function of the plugin file `path`; its output is redirected to standard error.

    An exception, or ``sys.exit()``, becomes an Ai8xError of one line with file and line number. Process-wide state is
    restored afterwards: the current folder, PyTorch's default type, recording of gradients.
    """
    with plugin_faults(path), library_names(path), redirect_stdout(sys.stderr), _kept_process_state():
        return copy_context().run(function, *args, **kwargs)


@contextmanager
def plugin_faults(path: Path) -> Iterator[None]:
    """Convert all exceptions raised in the block by code of the plugin file `path` to an Ai8xError of one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise plugin_error(error, path) from None


@contextmanager
def without_exit() -> Iterator[None]:
    """Convert ``sys.exit()`` anywhere in the block, for example in forward(), to an Ai8xError."""
    try:
        yield
    except SystemExit as error:
        raise plugin_fault(error) or Ai8xError("a library ended the program with sys.exit()") from None


@contextmanager
def _kept_process_state() -> Iterator[None]:
    import torch  # noqa: PLC0415  (not required for listings)

    folder, kind, records = os.open(".", os.O_RDONLY), torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)
        torch.set_default_dtype(kind)
        torch.set_grad_enabled(records)


def plugin_error(error: BaseException, path: Path) -> Ai8xError:
    """Return the error for an exception raised in a plugin file: one line with file and line number."""
    if isinstance(error, SystemExit):
        said = f": {error.code}" if isinstance(error.code, str) else ""
        error = Ai8xError(f"the file called sys.exit(){said}").with_traceback(error.__traceback__)
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = " ".join(str(error).split())
    message = text if isinstance(error, Ai8xError) else f"{type(error).__name__}: {text}"
    return Ai8xError(message, where=f"{path}:{line}" if line else str(path))


def plugin_fault(error: BaseException) -> Ai8xError | None:
    """Return the error for an exception raised in or below code of a plugin; None if no plugin was running."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith(_PACKAGES):
            found = Path(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return None if found is None else plugin_error(error, found)


@contextmanager
def library_names(path: Path) -> Iterator[None]:
    """Make the imports that the plugin file `path` expects available inside the block."""
    from ai8x_tool.compat import ai8x  # noqa: PLC0415  (imports torch)
    from ai8x_tool.nn import blocks  # noqa: PLC0415

    root = path.resolve().parent.parent
    finder, known = _NeighborFinder(root), str(root) in sys.path
    trainer = _TrainerModuleFinder()
    names = {"ai8x": ai8x, "ai8x_blocks": blocks, **_stored_neighbors(root)}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(trainer)
    if not known:
        sys.path.append(str(root))
    try:
        yield
    finally:
        _clean_up(root, before)
        sys.meta_path.remove(finder)
        sys.meta_path.remove(trainer)
        if not known:
            sys.path.remove(str(root))


class _NeighborFinder(MetaPathFinder):
    """Finder of ``models.X`` and ``datasets.X`` in the folders of those names in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module spec of `fullname`, None if it is not such a file."""
        folder, _, name = fullname.partition(".")
        file = self._root / folder / f"{name}.py"
        if folder not in FOLDERS or not name.isidentifier() or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(fullname, file)


class _TrainerModuleFinder(MetaPathFinder, Loader):
    """Finder of modules of the reference trainer, after all other finders, with the contents of this package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module spec of `fullname`, None for other modules."""
        if fullname == TRAINER_PACKAGE or fullname in TRAINER_MODULES:
            return ModuleSpec(fullname, self, is_package=fullname == TRAINER_PACKAGE)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module with the contents of the corresponding module of this package."""
        if module.__name__ in TRAINER_MODULES:
            ours = importlib.import_module(TRAINER_MODULES[module.__name__])
            module.__dict__.update({name: value for name, value in vars(ours).items() if not name.startswith("__")})


def _package(folder: Path) -> ModuleType:
    """Return the package of a plugin folder, in which relative imports work."""
    name = f"{_PACKAGES}{zlib.crc32(os.fsencode(folder)):08x}"
    if name not in sys.modules:
        package = ModuleType(name, f"Plugins of {folder}")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return sys.modules[name]


def _shelf(root: Path) -> str:
    return f"{_package(root).__name__}:"


def _stored_neighbors(root: Path) -> dict[str, ModuleType]:
    """Return neighbor modules that were imported before; they remain registered under unique names."""
    shelf = _shelf(root)
    return {name.removeprefix(shelf): module for name, module in _modules(shelf)}


def _modules(*starts: str) -> list[tuple[str, ModuleType]]:
    """Return the modules whose names begin with `starts`, from a copy, because finalizers may import at any time."""
    known = sys.modules.copy()
    names = "\n".join(
        ["", *known]
    )  # thousands of names: searching one string is the fastest way to find that there is none
    if not any(f"\n{start}" in names for start in starts):
        return []
    return [(name, module) for name, module in known.items() if name.startswith(starts)]


def _clean_up(root: Path, before: dict[str, ModuleType | None]) -> None:
    """Remove the names of plugins from the list of modules, and restore the previous modules."""
    for name, module in _modules(*FOLDERS):
        if name.partition(".")[0] in FOLDERS and _is_inside(module, root):
            sys.modules[_shelf(root) + name] = sys.modules.pop(name)
        elif isinstance(getattr(module, "__loader__", None), _TrainerModuleFinder):
            del sys.modules[name]
    for name, was in before.items():
        if was is not None:
            sys.modules[name] = was
        else:
            sys.modules.pop(name, None)


def _is_inside(module: ModuleType, root: Path) -> bool:
    """Return whether a module is a file in a plugin folder of `root`, or the package of such a folder."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    folders = {root / folder for folder in FOLDERS}
    return any(place and ({Path(place), Path(place).parent} & folders) for place in places)
