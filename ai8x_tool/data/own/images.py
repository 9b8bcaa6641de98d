"""Image files: reading, scaling and augmentation with torchvision."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.images import require_pillow
from ai8x_tool.errors import Ai8xError

_WHITE = 255
GROUP = 4
"""Number of images of a batch that are augmented identically: torchvision's functions take many images at once."""
_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "F")
_ENOUGH, _NEIGHBOURS = 40, 9
_MOST_PIXELS, _ROWS = 1 << 25, 256
_JPEG, _RIFF = b"\xff\xd8", b"RIFF"


def require_torchvision() -> Any:
    """Return the module ``torchvision``. Raises Ai8xError with the command to install it."""
    try:
        import torchvision  # noqa: PLC0415  (optional)
    except ImportError:
        raise Ai8xError("images require torchvision", fix="pip install 'ai8x-tool[vision]'") from None
    return torchvision


def read_image(data: bytes, channels: int, size: tuple[int, int]) -> Tensor:
    """Return the bytes of an image file as (channels, rows, columns) uint8.

    The image is scaled to fit and centred; if its aspect ratio differs, its edges are repeated. Transparent parts
    become white, 16-bit values are truncated to 8 bits. Raises ValueError if the data are not an image.
    """
    return read_image_and_size(data, channels, size)[0]


def read_image_and_size(data: bytes, channels: int, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Return the result of :func:`read_image`, and rows and columns of the image in the file."""
    image = _eight_bits(_decoded(data))
    return fitted(_channels(image, channels), size), (image.shape[1], image.shape[2])


def _decoded(data: bytes) -> Tensor:
    """Return (1 to 4 channels, rows, columns) uint8 or uint16, rotated according to the camera's orientation."""
    if not data:
        raise ValueError("the file is empty")
    try:
        from torchvision.io import ImageReadMode, decode_image  # noqa: PLC0415
    except ImportError:  # announced for a later version
        return _decoded_by_pillow(data)
    if data[:2] != _JPEG and data[:4] != _RIFF:
        return _decoded_by_pillow(data)  # torchvision terminates the process on some damaged files
    _check_size(data)
    mode = ImageReadMode.UNCHANGED if data[:4] == _RIFF else ImageReadMode.RGB
    try:
        return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode, apply_exif_orientation=True)
    except RuntimeError as error:
        reason = str(error).rsplit(":", 1)[-1].strip().splitlines()[0].lstrip("0123456789, ")
        raise ValueError(f"it cannot be read as an image ({reason})") from None


def _check_size(data: bytes) -> None:
    """Raise ValueError for images too large for memory: a small file can declare any size."""
    try:
        with require_pillow().open(io.BytesIO(data)) as image:
            rows, columns = image.height, image.width
    except Exception as error:  # see below
        raise ValueError(f"it cannot be read as an image ({reason(error)})") from None
    check_pixels(rows, columns)


def check_pixels(rows: int, columns: int) -> None:
    """Raise ValueError for an image that is too large."""
    if rows * columns > _MOST_PIXELS:
        raise ValueError(f"{columns}×{rows} pixels exceed the limit of {_MOST_PIXELS:,}")


def _decoded_by_pillow(data: bytes) -> Tensor:
    from PIL import ImageOps  # noqa: PLC0415  (comes with torchvision)

    try:
        with require_pillow().open(io.BytesIO(data)) as image:
            check_pixels(image.height, image.width)
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):  # 16-bit grey
                return torch.from_numpy(np.array(turned).astype(np.uint16))[None]
            mode = "RGBA" if turned.has_transparency_data else "RGB"
            return torch.from_numpy(np.array(turned.convert(mode))).permute(2, 0, 1)
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise ValueError(f"it cannot be read as an image ({reason(error)})") from None


def reason(error: Exception) -> str:
    """Return Pillow's message about a file, without the address of the buffer."""
    if type(error).__name__ == "DecompressionBombError":
        return "too many pixels"
    return "unknown format" if "cannot identify" in str(error) else " ".join(str(error).split())


def read_header(path: Path) -> tuple[int, int, bool] | None:
    """Return rows, columns and whether the image may have colours; None if the file is not an image."""
    try:
        with require_pillow().open(path) as image:
            return image.height, image.width, image.mode not in _GRAY_MODES
    except Exception:  # see above
        return None


def _eight_bits(image: Tensor) -> Tensor:
    return (image.to(torch.int32) >> 8).to(torch.uint8) if image.dtype == torch.uint16 else image


def _on_white(image: Tensor) -> Tensor:
    """Return an image without its last channel, alpha, on a white background."""
    alpha = image[-1:].to(torch.float32) / _WHITE
    return (image[:-1] * alpha + _WHITE * (1 - alpha)).round().to(torch.uint8)


def _channels(image: Tensor, channels: int) -> Tensor:
    from torchvision.transforms.v2 import functional  # noqa: PLC0415

    if len(image) in (2, 4):
        image = torch.cat([_on_white(rows) for rows in torch.split(image, _ROWS, dim=1)], dim=1)
    if channels == 1 and len(image) == 3:
        return functional.rgb_to_grayscale(image)
    return image.expand(channels, -1, -1) if len(image) == 1 else image


@dataclass(frozen=True)
class Fit:
    """Placement of a scaled image in another one: its rows and columns, and those above and to the left of it."""

    rows: int
    columns: int
    above: int
    left: int


def fit_of(rows: int, columns: int, size: tuple[int, int]) -> Fit:
    """Return the placement of an image that is scaled to fit into `size` and centred."""
    scale = min(size[0] / rows, size[1] / columns)
    height, width = (max(1, min(limit, round(scale * n))) for limit, n in zip(size, (rows, columns), strict=True))
    return Fit(height, width, (size[0] - height) // 2, (size[1] - width) // 2)


def fitted(image: Tensor, size: tuple[int, int], *, exact: bool = False) -> Tensor:
    """Return an image (C, H, W) fitted to a size, edges repeated; with `exact`, values are not interpolated."""
    from torchvision.transforms.v2 import InterpolationMode, functional  # noqa: PLC0415

    fit = fit_of(image.shape[1], image.shape[2], size)
    if (fit.rows, fit.columns) != image.shape[1:]:
        mode = InterpolationMode.NEAREST_EXACT if exact else InterpolationMode.BILINEAR
        image = functional.resize(image, [fit.rows, fit.columns], mode, antialias=not exact)
    right, below = size[1] - fit.columns - fit.left, size[0] - fit.rows - fit.above
    sides = [fit.left, fit.above, right, below]
    return functional.pad(image, sides, padding_mode="edge") if any(sides) else image


@dataclass(frozen=True)
class Variation:
    """Augmentation of images: position, size, angle and light by `strength`; optionally colours; optionally flipped."""

    strength: float
    colours: bool
    flip: bool

    def __call__(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return images (B, C, H, W) uint8, randomly changed."""
        groups = torch.split(raw, GROUP)
        moved = [(images, drawn_move(generator, self.strength)) for images in groups]
        result = torch.cat([varied_light(move.of_images(images), move) for images, move in moved])
        result = varied_colours(result, generator) if self.colours else result
        return torch.where(chosen(result, generator), result.flip(-1), result) if self.flip else result


def varied_colours(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, C, H, W) uint8 with their colours exchanged, and half of them inverted."""
    if images.shape[1] > 1:
        order = torch.stack([torch.randperm(images.shape[1], generator=generator) for _ in images])
        images = images.gather(1, order[:, :, None, None].to(images.device).expand_as(images))
    return torch.where(chosen(images, generator), 255 - images, images)


def chosen(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask (B, 1, 1, 1) of a random half of the images (B, …)."""
    return (torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5).to(images.device)


@dataclass(frozen=True)
class Move:
    """A change of angle, position, size and light, each from −strength to strength, relative to its usual extent."""

    turn: float
    right: float
    down: float
    zoom: float
    light: float
    contrast: float

    @property
    def scale(self) -> float:
        """Scale factor."""
        return math.exp(0.15 * self.zoom)

    def shift(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the pixels by which images of `rows` and `columns` move to the right and down."""
        return round(0.1 * columns * self.right), round(0.1 * rows * self.down)

    def of_images(self, images: Tensor, *, turned: bool = True, exact: bool = False) -> Tensor:
        """Return moved images (B, C, H, W); with `exact`, values are not interpolated."""
        from torchvision.transforms.v2 import InterpolationMode, functional  # noqa: PLC0415

        rows, columns = images.shape[-2:]
        room = max(rows, columns) // 8
        return functional.affine(
            functional.pad(images, [room], padding_mode="edge"),
            angle=15 * self.turn * turned,
            translate=list(self.shift(rows, columns)),
            scale=self.scale,
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.NEAREST if exact else InterpolationMode.BILINEAR,
        )[..., room : -room or None, room : -room or None]


def drawn_move(generator: torch.Generator, strength: float) -> Move:
    """Return a random move."""
    return Move(*(2 * torch.rand(6, generator=generator) - 1).mul(strength).tolist())


def varied_light(images: Tensor, move: Move) -> Tensor:
    """Return images (B, C, H, W) uint8 with changed brightness and contrast."""
    from torchvision.transforms.v2 import functional  # noqa: PLC0415

    images = functional.adjust_brightness(images, 1 + 0.2 * move.light)
    return functional.adjust_contrast(images, 1 + 0.2 * move.contrast)


def colours_are_arbitrary(images: Tensor, targets: Tensor) -> bool:
    """Return whether neither colours nor brightness of images (N, C, H, W) distinguish the classes.

    Nearest neighbours in the space of average colours, of brightness and of the variation of both must not predict the
    class of an image clearly more often than the frequency of the most frequent class.
    """
    if len(images) < _ENOUGH or int(targets.max()) == int(targets.min()):
        return False
    values = images.to(torch.float32).flatten(2)
    bright = values.mean(dim=1)
    features = [bright.mean(dim=1, keepdim=True)]
    if values.shape[1] > 1:
        chroma = values[:, 1:] - values[:, :1]
        features.append(torch.cat([chroma.mean(dim=2), chroma.std(dim=2)], dim=1))
    share = float(torch.bincount(targets).max()) / len(targets)
    limit = share + max(0.1, 3 * math.sqrt(share * (1 - share) / len(targets)))
    return all(_neighbours_agree(each, targets) < limit for each in features)


def _neighbours_agree(features: Tensor, targets: Tensor) -> float:
    """Return the share of samples that have the class of most of their nearest neighbours."""
    scaled = (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-3)
    distances = torch.cdist(scaled, scaled).fill_diagonal_(math.inf)
    near = targets[distances.topk(_NEIGHBOURS, largest=False).indices]
    return float((near.mode(dim=1).values == targets).float().mean())
