"""Execution of plugin files, with the imports that they expect and without traces afterwards.

While a plugin runs, ``import ai8x`` and ``import ai8x_blocks`` find the modules of this package, and its neighbours can
be imported as in the reference trainer: ``from datasets.mine import X``, ``from .mine import X``, ``import helper`` for
files next to the folder. Installed libraries come first, except that ``models.X``, ``datasets.X`` and ``utils.X`` are
neighbours where there are such files. Modules of the reference trainer itself, such as
``utils.object_detection_utils``, are those of this package where nothing else has their names. Afterwards none of these
names is left.
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
"""Prefix of the names of the packages whose modules plugins are."""


def load_plugin(path: Path) -> ModuleType:
    """Execute a plugin file once and return its module.

    The module has a name of its own, so that no plugin can shadow a library. Raises Ai8xError naming file and line.
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
    """Compiles a file each time: stored bytecode may be that of an older text of the same size and second."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Raise OSError: as if the time of the last change were not known."""
        raise OSError(path)


def call_plugin(path: Path, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """Call a function of the plugin file `path`. What it prints goes to standard error.

    An exception becomes an Ai8xError of one line with file and line number; so does ``sys.exit()``. What it changes in
    this process as a whole does not outlast it: the current folder, torch's default type, recording of gradients.
    """
    with plugin_faults(path), library_names(path), redirect_stdout(sys.stderr), _kept_process_state():
        return copy_context().run(function, *args, **kwargs)


@contextmanager
def plugin_faults(path: Path) -> Iterator[None]:
    """Turn everything that code of the plugin file `path` raises in the block into an Ai8xError of one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise plugin_error(error, path) from None


@contextmanager
def without_exit() -> Iterator[None]:
    """Turn ``sys.exit()`` of a plugin into an Ai8xError, wherever its code runs in the block: in forward(), say."""
    try:
        yield
    except SystemExit as error:
        raise plugin_fault(error) or Ai8xError("a library ended the program with sys.exit()") from None


@contextmanager
def _kept_process_state() -> Iterator[None]:
    import torch  # noqa: PLC0415  (listings do without it)

    folder, kind, records = os.open(".", os.O_RDONLY), torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)
        torch.set_default_dtype(kind)
        torch.set_grad_enabled(records)


def plugin_error(error: BaseException, path: Path) -> Ai8xError:
    """Turn what was raised in a plugin file into one line with file and line number."""
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
    """Return the line for an exception that code of a plugin caused or let pass; None if none of it was running."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith(_PACKAGES):
            found = Path(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return None if found is None else plugin_error(error, found)


@contextmanager
def library_names(path: Path) -> Iterator[None]:
    """Let imports find what the plugin file `path` expects, to the end of the block."""
    from ai8x_tool.compat import ai8x  # noqa: PLC0415  (imports torch)
    from ai8x_tool.nn import blocks  # noqa: PLC0415

    root = path.resolve().parent.parent
    finder, known = _Neighbours(root), str(root) in sys.path
    trainer = _Trainer()
    names = {"ai8x": ai8x, "ai8x_blocks": blocks, **_put_away(root)}
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


class _Neighbours(MetaPathFinder):
    """Finds ``models.X`` and ``datasets.X`` in the folders of those names in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load `fullname`, None if it is no neighbour."""
        folder, _, name = fullname.partition(".")
        file = self._root / folder / f"{name}.py"
        if folder not in FOLDERS or not name.isidentifier() or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(fullname, file)


class _Trainer(MetaPathFinder, Loader):
    """Finds modules of the reference trainer, after all other finders, and gives them the contents of ours."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load `fullname`, None if it is none of these modules."""
        if fullname == TRAINER_PACKAGE or fullname in TRAINER_MODULES:
            return ModuleSpec(fullname, self, is_package=fullname == TRAINER_PACKAGE)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module, whose loader this is."""
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


def _put_away(root: Path) -> dict[str, ModuleType]:
    """ExtentPair that were imported before: they keep existing under a name of their own."""
    shelf = _shelf(root)
    return {name.removeprefix(shelf): module for name, module in _modules(shelf)}


def _modules(*starts: str) -> list[tuple[str, ModuleType]]:
    """Return the modules whose names begin so; of a copy, as what the garbage collector ends may import at any time."""
    known = sys.modules.copy()
    names = "\n".join(["", *known])  # of thousands; a search in one text is the fastest way to see that there is none
    if not any(f"\n{start}" in names for start in starts):
        return []
    return [(name, module) for name, module in known.items() if name.startswith(starts)]


def _clean_up(root: Path, before: dict[str, ModuleType | None]) -> None:
    """Take the names of plugins out of the list of modules, and put back what was there."""
    for name, module in _modules(*FOLDERS):
        if name.partition(".")[0] in FOLDERS and _is_inside(module, root):
            sys.modules[_shelf(root) + name] = sys.modules.pop(name)
        elif isinstance(getattr(module, "__loader__", None), _Trainer):
            del sys.modules[name]
    for name, was in before.items():
        if was is not None:
            sys.modules[name] = was
        else:
            sys.modules.pop(name, None)


def _is_inside(module: ModuleType, root: Path) -> bool:
    """Return whether a module is a file in a plugin folder of `root`, or such a folder itself."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    folders = {root / folder for folder in FOLDERS}
    return any(place and ({Path(place), Path(place).parent} & folders) for place in places)
