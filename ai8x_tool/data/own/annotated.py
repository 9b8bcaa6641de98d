"""Folders of images with masks or boxes: detection of the layout, and assignment of annotations to images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ai8x_tool.data.own.box_files import Objects, read_coco, read_small, read_voc, read_yolo, stem
from ai8x_tool.data.own.box_folder import BoxFolder, BoxSource
from ai8x_tool.data.own.files import KINDS, DataFile, FolderContent, names_in, split_named
from ai8x_tool.data.own.mask_folder import MaskFolder
from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.json_file import read_json
from ai8x_tool.readers.yaml_file import read_plain
from ai8x_tool.settings.own_data import OwnDataSettings

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
_MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "segmentationclass", "labelids", "gt")
_LABEL_FOLDERS = ("labels", "annotations")
_NAME_FILES = ("classes.txt", "labels.txt", "names.txt", "obj.names")
_NEEDED = {"segmentation": "images/ and masks/ with equal names", "detection": "YOLO, COCO or Pascal VOC files"}
_NO_PARTNER = "no image has its name"
_MOST_DOCUMENTS = 32
"""Number of JSON files from which they are assumed to be files of single images, not COCO files."""


@dataclass(frozen=True)
class Annotated:
    """Images with masks or boxes: content of the folder, settings, and reader."""

    content: FolderContent
    own: OwnDataSettings
    kind: MaskFolder | BoxFolder


def annotated_folder(own: OwnDataSettings) -> Annotated | None:
    """Look for masks and boxes. Returns None for other folders; raises Ai8xError if the task requires them."""
    if own.kind not in (None, "images") or own.task not in (None, "segmentation", "detection") or not own.path.is_dir():
        return None
    names = sorted(names_in(own.path))
    images = [name for name in names if Path(name).suffix.lower() in KINDS["images"]]
    found = None
    if own.task != "detection":
        found = _with_masks(own, names, images)
    if found is None and own.task != "segmentation":
        found = _with_boxes(own, names, images)
    if found is None and own.task is not None:
        needed = _NEEDED[str(own.task)]
        raise Ai8xError(f"{own.task} requires {needed}", where=str(own.path), fix="add them, or choose another task")
    return found


def _without(name: str, folders: Sequence[str]) -> str | None:
    """Return the path of a file without its suffix and without one of `folders`; None if it is in none of them."""
    *parents, last = name.split("/")
    places = [number for number, parent in enumerate(parents) if parent.lower() in folders]
    if not places:
        return None
    del parents[places[-1]]
    return "/".join([*parents, stem(last)])


def _split(name: str) -> str | None:
    """Return the split named by a folder in the path of a file, None without one."""
    return next((found for found in map(split_named, name.split("/")[:-1]) if found is not None), None)


def _files(names: Sequence[str], splits: Mapping[str, str] | None = None) -> tuple[DataFile, ...]:
    """Return files with their splits; splits named by folders count only if there is one for training."""
    chosen = {name: (splits or {}).get(name) or _split(name) for name in names}
    named = "train" in chosen.values()
    return tuple(DataFile(name, None, chosen[name] if named else None) for name in names)


def _names_of_classes(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return class names from a file of names or of YOLO, and that file; empty without one."""
    for name in _NAME_FILES:
        if (root / name).is_file():
            lines = _small_text(root / name, "utf-8-sig").splitlines()
            return tuple(line.strip() for line in lines if line.strip()), (name,)
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        content = read_plain(path)
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict):
            names = [names[key] for key in sorted(names, key=lambda key: (len(key), key))]
        if isinstance(names, list) and names:
            return tuple(map(str, names)), (path.name,)
    return (), ()


def _small_text(path: Path, encoding: str = "utf-8") -> str:
    try:
        return read_small(path).decode(encoding, errors="replace")
    except ValueError as error:
        raise Ai8xError(str(error), where=str(path), fix="move it out of the folder") from None


def _with_masks(own: OwnDataSettings, names: Sequence[str], images: Sequence[str]) -> Annotated | None:
    masks = {key: name for name in images if (key := _without(name, _MASK_FOLDERS)) is not None}
    pictures = {key: name for name in images if (key := _without(name, _IMAGE_FOLDERS)) is not None}
    partners = {name: masks[key] for key, name in pictures.items() if key in masks and masks[key] != name}
    if not partners:
        return None
    unused = [(name, "it has no mask") for name in pictures.values() if name not in partners]
    used = {*partners, *partners.values()}
    unused += [(name, _NO_PARTNER) for name in masks.values() if name not in used]
    classes, file = _names_of_classes(own.path)
    known = {*used, *file, *(name for name, _ in unused)}
    others = tuple(name for name in names if name not in known and not _is_text(name))
    unused += [(name, "it is in no folder of images or masks") for name in others]
    own = replace(own, kind="images", task="segmentation")
    companions = (*partners.values(), *file)
    content = FolderContent(own.path, "images", _files(sorted(partners)), (), None, (), companions)
    kind = MaskFolder(content, own, partners, tuple(unused), classes)
    return Annotated(replace(content, classes=kind.classes), own, kind)


def _is_text(name: str) -> bool:
    """Return whether a file is not data, by its suffix: notes, licenses."""
    return Path(name).suffix.lower() in (".txt", ".md", ".json", ".yaml", ".yml", ".names", "")


def _with_boxes(own: OwnDataSettings, names: Sequence[str], images: Sequence[str]) -> Annotated | None:
    if not images:
        return None
    found = _coco(own.path, names, images) or _voc(own.path, names, images) or _yolo(own.path, names, images)
    if found is None:
        return None
    files, source, classes, companions = found
    labels = own.classes or classes
    if not files or not labels:
        raise Ai8xError(f"the {source.kind} files contain no objects for its images", where=str(own.path))
    own = replace(own, kind="images", task="detection")
    content = FolderContent(own.path, "images", files, labels, None, (), companions)
    return Annotated(content, own, BoxFolder(content, own, source))


Found = tuple[tuple[DataFile, ...], BoxSource, tuple[str, ...], tuple[str, ...]]
"""Files, their objects, class names, and the files with boxes."""


def _used_labels(objects: Mapping[str, Objects]) -> tuple[str, ...]:
    return tuple(sorted({box.label for each in objects.values() for box in each.boxes}))


def _yolo(root: Path, names: Sequence[str], images: Sequence[str]) -> Found | None:
    texts = {name for name in names if name.endswith(".txt") and name not in _NAME_FILES}
    partners = {image: text for image in images if (text := _yolo_text(image, texts)) is not None}
    if not partners:
        return None
    classes, file = _names_of_classes(root)
    objects: dict[str, Objects] = {}
    unused: list[tuple[str, str]] = []
    for image in images:
        try:
            text = read_small(root / partners[image]).decode(errors="replace") if image in partners else ""
            objects[image] = read_yolo(text, classes)
        except ValueError as error:
            unused.append((image, f"{partners[image]}: {error}"))
    if not any(each.boxes for each in objects.values()):
        return None
    unused += [(text, _NO_PARTNER) for text in sorted(texts - set(partners.values())) if "/" in text]
    labels = classes or tuple(sorted(_used_labels(objects), key=int))
    source = BoxSource(objects, tuple(unused), "YOLO")
    return _files(sorted(objects)), source, labels, (*sorted(partners.values()), *file)


def _yolo_text(image: str, texts: set[str]) -> str | None:
    """Return the text file of an image: next to it, or in the folder of labels that corresponds to its folder."""
    path = PurePosixPath(image)
    places = [number for number, part in enumerate(path.parts[:-1]) if part.lower() in _IMAGE_FOLDERS]
    candidates = [path.with_suffix(".txt")]
    for folder in _LABEL_FOLDERS if places else ():
        parts = [*path.parts]
        parts[places[-1]] = folder
        candidates.append(PurePosixPath(*parts).with_suffix(".txt"))
    return next((str(each) for each in candidates if str(each) in texts), None)


def _coco(root: Path, names: Sequence[str], images: Sequence[str]) -> Found | None:
    objects: dict[str, Objects] = {}
    splits: dict[str, str] = {}
    unused: list[tuple[str, str]] = []
    used = []
    by_name = _by_last_part(images)
    documents = [name for name in names if name.endswith(".json")]
    for name in documents if len(documents) <= _MOST_DOCUMENTS else ():
        try:
            read = read_coco(read_json(root / name, most_bytes=1 << 28))
        except (Ai8xError, ValueError) as error:
            unused.append((name, str(error)))
            continue
        used.append(name)
        unused += [(name, problem) for problem in read.problems]
        split = _split_of_json(name)
        for wanted, found in read.objects.items():
            image = _located(wanted, name, by_name)
            if image is None:
                unused.append((wanted, f"{name} refers to it, but the image does not exist"))
                continue
            objects[image] = found
            splits |= {image: split} if split else {}
    if not used:
        return None
    unused += [(image, "no COCO file refers to it") for image in images if image not in objects]
    labels = _used_labels(objects)
    return _files(sorted(objects), splits), BoxSource(objects, tuple(unused), "COCO"), labels, tuple(used)


def _split_of_json(name: str) -> str | None:
    """Return the split in the name of a COCO file, such as ``instances_train2017.json``, or in that of its folder."""
    words = stem(name).replace("-", "_").split("_")
    found = [split_named(word.rstrip("0123456789")) for word in words]
    return next((each for each in found if each is not None), _split(name))


def _by_last_part(images: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for image in images:
        found.setdefault(image.rsplit("/", 1)[-1], []).append(image)
    return found


def _located(wanted: str, beside: str, by_name: Mapping[str, list[str]]) -> str | None:
    """Return the image that a file refers to: with the same end of the path and, of several, near that file."""
    path = wanted.replace("\\", "/").lstrip("./")
    candidates = by_name.get(path.rsplit("/", 1)[-1], [])
    exact = [each for each in candidates if each == path or each.endswith(f"/{path}")]
    near = [each for each in exact or candidates if each.split("/")[0] == beside.split("/", maxsplit=1)[0]]
    split = _split_of_json(beside)
    same = [each for each in exact or candidates if split is not None and _split(each) == split]
    return next(iter(near or same or exact or candidates), None)


def _voc(root: Path, names: Sequence[str], images: Sequence[str]) -> Found | None:
    objects: dict[str, Objects] = {}
    unused: list[tuple[str, str]] = []
    used: list[str] = []
    by_stem: dict[str, list[str]] = {}
    for image in images:
        by_stem.setdefault(stem(image), []).append(image)
    for name in (each for each in names if each.lower().endswith(".xml")):
        candidates = by_stem.get(stem(name), [])
        try:
            called, found = read_voc(read_small(root / name))
        except ValueError as error:
            unused.append((name, str(error)))
            continue
        used.append(name)
        candidates = [each for each in candidates if _split(each) == _split(name)] or candidates
        candidates = candidates or by_stem.get(stem(called), [])
        if candidates:
            objects[candidates[0]] = found
        else:
            unused.append((name, _NO_PARTNER))
    if not used:
        return None
    unused += [(image, "no Pascal VOC file has its name") for image in images if image not in objects]
    source = BoxSource(objects, tuple(unused), "Pascal VOC")
    return _files(sorted(objects), dict(_voc_splits(root, names, objects))), source, _used_labels(objects), tuple(used)


def _voc_splits(root: Path, names: Sequence[str], objects: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names in lists such as ``ImageSets/Main/train.txt`` with their splits."""
    by_stem = {stem(image): image for image in objects}
    for name in (each for each in names if "imagesets/" in each.lower() and each.endswith(".txt")):
        split = split_named(stem(name))
        for line in _small_text(root / name).splitlines() if split else ():
            image = by_stem.get(line.split()[0]) if line.split() else None
            if image is not None and split is not None:
                yield image, split
