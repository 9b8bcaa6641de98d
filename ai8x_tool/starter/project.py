"""Creation of a project that trains on a folder of data."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ai8x_tool.console import Console
from ai8x_tool.data.own import own_entry
from ai8x_tool.data.own.entry import open_folder
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import resolved_path, temporary_folder, unwritable, write_file
from ai8x_tool.settings.files import plain_values
from ai8x_tool.settings.own_data import KEYS, OwnDataSettings
from ai8x_tool.settings.starter import NewSettings
from ai8x_tool.starter.model_file import SizedModel, write_sized_model
from ai8x_tool.text import decode_surrogates, markdown, one_line, utf8

_IMBALANCED = 2.0
_NAME = re.compile(r"[\w][\w .+-]*")
_MINUTES = {"images": 2.2, "sound": 3.0, "series": 1.5}
_COMMANDS = (
    "ai8x train {name}",
    "ai8x quantize logs/latest/qat_best.pth.tar q.pth.tar",
    "ai8x evaluate {name} --checkpoint q.pth.tar --8bit",
    "ai8x synthesize {name} --checkpoint q.pth.tar --output {project}",
    "ai8x run {project} --input {example}",
)


@dataclass(frozen=True)
class NewProject:
    """A new project, and what was found in its data.

    `counts` are the samples of each class by split; with masks or boxes, `counted` names what is counted instead.
    """

    folder: Path
    name: str
    own: OwnDataSettings
    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    facts: Sequence[str]
    remarks: Sequence[str]
    model: SizedModel
    commands: tuple[str, ...]
    counted: str = "samples"

    def document(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "schema": "ai8x-new/1",
            "folder": str(self.folder),
            "recipe": self.name,
            "kind": self.own.kind,
            "classes": list(self.classes),
            "counted": self.counted,
            "samples": {split: list(counts) for split, counts in self.counts.items()},
            "facts": list(self.facts),
            "remarks": list(self.remarks),
            "model": {"name": self.model.name, "cycles": self.model.found.cycles},
            "commands": list(self.commands),
        }


def new_project(name: str, settings: NewSettings, console: Console) -> NewProject:
    """Create the folder `name` with recipe, model and README for the data in `settings.data`.

    Raises Ai8xError if the folder exists, or the data cannot be used.
    """
    target, device = Path(name), settings.part
    if not _NAME.fullmatch(title := decode_surrogates(target.name)):
        raise Ai8xError(f"{target.name!r} cannot be the name of a project", fix="use letters, digits and -")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Ai8xError("already exists", where=str(target), fix="choose another name")
    given = OwnDataSettings(
        path=settings.data, kind=settings.kind, task=settings.task, target=settings.target, group=settings.group
    )
    folder = open_folder(given)
    own = folder.chosen()
    counts = Counter(file.label for file in folder.content.files).values()
    if own.task == "classification" and len(counts) > 1 and max(counts) > _IMBALANCED * min(counts):
        own = replace(own, class_weights="balanced")
    with _complete_or_absent(target) as new:
        entry = own_entry(title, own)
        opened = open_folder(own)
        found = opened.kind.prepare(new / "data", console)
        function = _identifier(title)
        file = Path("models", f"{function}.py")
        model = write_sized_model(folder.kind.model(own), function, new / file, entry, device, console)
        example = Path(os.path.relpath(own.path / folder.content.files[0].name, target)).as_posix()
        quoted = {key: shlex.quote(text) for key, text in _names(title, decode_surrogates(example)).items()}
        commands = tuple(command.format(**quoted) for command in _COMMANDS)
        remarks = tuple(opened.messages(found, by_file=True))
        made = replace(model, file=target / file)
        project = NewProject(
            *(
                target,
                title,
                own,
                tuple(entry.labels),
                found.counts,
                folder.facts(found),
                remarks,
                made,
                commands,
            ),
            counted=folder.counted,
        )
        _write_recipe(project, settings, new)
        write_file(utf8(_readme(project)), new / "README.md")
    return project


@contextmanager
def _complete_or_absent(target: Path) -> Iterator[Path]:
    """Provide a temporary folder that becomes `target` at the end of the block, unless something fails."""
    place = resolved_path(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(place.parent) as new:
        yield new
        try:
            new.rename(place)
        except OSError as error:
            raise unwritable(target, error) from None


def _names(name: str, example: str) -> dict[str, str]:
    return {"name": name, "project": f"build/{name}", "example": example}


def _identifier(name: str) -> str:
    """Return `name` as the name of a Python function, in lower case."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "model"
    return f"net_{plain}" if plain[0].isdigit() else plain


def _write_recipe(project: NewProject, settings: NewSettings, folder: Path) -> None:
    own = plain_values(project.own, project.folder)
    foreign = {key for kind, keys in KEYS.items() if kind != project.own.kind for key in keys}
    foreign -= set(KEYS[str(project.own.kind)])
    kept = {key: value for key, value in own.items() if value not in (None, []) and key not in foreign}
    content = {
        "description": f"{project.own.kind} of {len(project.classes)} classes in {project.own.path.name}",
        "model": project.model.name,
        "device": settings.part.name,
        "data": kept,
        "train": {"epochs": 90, "minutes": _MINUTES[str(project.own.kind)], "deterministic": True},
        "evaluate": {"confusion": True} if project.own.task == "classification" else {},
        "synthesize": {"softmax": project.own.task == "classification", "timer": 0},
    }
    path = folder / "configs" / "recipes" / f"{project.folder.name}.yaml"
    write_file(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None).encode(), path)


def _readme(project: NewProject) -> str:
    rows = []
    for number, label in enumerate(project.classes):
        counts = [str(project.counts[split][number]) for split in ("train", "validation", "test")]
        rows.append("| " + " | ".join([markdown(label), *counts]) + " |")
    return "\n".join(
        [
            f"# {project.name}",
            "",
            *(f"* {markdown(line)}" for line in (*project.facts, *project.remarks)),
            "",
            f"| Class ({project.counted}) | Training | Validation | Test |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            "Run these commands in this folder:",
            "",
            "```shell",
            *map(one_line, project.commands),
            "```",
            "",
            f"`configs/recipes/{project.name}.yaml` defines how the data are read and the network is trained;",
            f"`models/{project.model.file.name}` contains the network. You can change both. `data/` contains the",
            "prepared data. You can delete it; data are prepared again if necessary.",
            "",
        ]
    )
