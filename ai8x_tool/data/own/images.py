"""Image files: reading, scaling, and variations for training, by torchvision."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.errors import Ai8xError

_WHITE = 255
_GROUP = 4
"""Images of a batch that are varied in the same way: torchvision's functions take many images at once."""
_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "F")
_ENOUGH, _NEIGHBOURS = 40, 9
_MOST_PIXELS = 1 << 25
_JPEG, _RIFF = b"\xff\xd8", b"RIFF"


def require_torchvision() -> Any:
    """Return the module ``torchvision``. Raises Ai8xError saying how to install it."""
    try:
        import torchvision  # noqa: PLC0415  (optional)
    except ImportError:
        raise Ai8xError("images need torchvision", fix="pip install 'ai8x-tool[vision]'") from None
    return torchvision


def read_image(data: bytes, channels: int, size: tuple[int, int]) -> Tensor:
    """Return the bytes of an image file as (channels, rows, columns) uint8.

    The image is scaled to fit and centred; its edges are repeated where its proportions are others. Transparent parts
    become white, 16-bit values are shortened. Raises ValueError for what is no image.
    """
    image = _eight_bits(_decoded(data))
    return _fitted(_channels(image, channels), size)


def _decoded(data: bytes) -> Tensor:
    """Return (1 to 4 channels, rows, columns) uint8 or uint16; turned as the camera was held."""
    if not data:
        raise ValueError("the file is empty")
    try:
        from torchvision.io import ImageReadMode, decode_image  # noqa: PLC0415
    except ImportError:  # announced for a later version
        return _decoded_by_pillow(data)
    if data[:2] != _JPEG and data[:4] != _RIFF:
        return _decoded_by_pillow(data)  # torchvision ends the process where some such files are damaged
    _check_size(data)
    mode = ImageReadMode.UNCHANGED if data[:4] == _RIFF else ImageReadMode.RGB
    try:
        return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode, apply_exif_orientation=True)
    except RuntimeError as error:
        reason = str(error).rsplit(":", 1)[-1].strip().splitlines()[0].lstrip("0123456789, ")
        raise ValueError(f"it cannot be read as an image ({reason})") from None


def _check_size(data: bytes) -> None:
    """Raise ValueError for more pixels than memory is good for: a few bytes can claim any number."""
    from PIL import Image  # noqa: PLC0415  (comes with torchvision)

    try:
        with Image.open(io.BytesIO(data)) as image:
            rows, columns = image.height, image.width
    except Exception as error:  # see below
        raise ValueError(f"it cannot be read as an image ({error})") from None
    if rows * columns > _MOST_PIXELS:
        raise ValueError(f"{columns}×{rows} pixels are too many")


def _decoded_by_pillow(data: bytes) -> Tensor:
    from PIL import Image, ImageOps  # noqa: PLC0415  (comes with torchvision)

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width}×{image.height} pixels are too many")
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):  # 16-bit gray
                return torch.from_numpy(np.array(turned).astype(np.uint16))[None]
            return torch.from_numpy(np.array(turned.convert("RGBA"))).permute(2, 0, 1)
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise ValueError(f"it cannot be read as an image ({error})") from None


def read_header(path: Path) -> tuple[int, int, bool] | None:
    """Return rows, columns and whether the image may have colours; None for what is no image."""
    from PIL import Image  # noqa: PLC0415  (comes with torchvision)

    try:
        with Image.open(path) as image:
            return image.height, image.width, image.mode not in _GRAY_MODES
    except Exception:  # see above
        return None


def _eight_bits(image: Tensor) -> Tensor:
    return (image.to(torch.int32) >> 8).to(torch.uint8) if image.dtype == torch.uint16 else image


def _channels(image: Tensor, channels: int) -> Tensor:
    from torchvision.transforms.v2 import functional  # noqa: PLC0415

    if len(image) in (2, 4):
        alpha = image[-1:].to(torch.float32) / _WHITE
        image = (image[:-1] * alpha + _WHITE * (1 - alpha)).round().to(torch.uint8)
    if channels == 1 and len(image) == 3:
        return functional.rgb_to_grayscale(image)
    return image.expand(channels, -1, -1) if len(image) == 1 else image


def _fitted(image: Tensor, size: tuple[int, int]) -> Tensor:
    from torchvision.transforms.v2 import functional  # noqa: PLC0415

    rows, columns = image.shape[1:]
    scale = min(size[0] / rows, size[1] / columns)
    inner = [max(1, min(limit, round(scale * n))) for limit, n in zip(size, (rows, columns), strict=True)]
    if inner != [rows, columns]:
        image = functional.resize(image, inner, antialias=True)
    vertical, horizontal = size[0] - inner[0], size[1] - inner[1]
    if not vertical and not horizontal:
        return image
    sides = [horizontal // 2, vertical // 2, horizontal - horizontal // 2, vertical - vertical // 2]
    return functional.pad(image, sides, padding_mode="edge")


@dataclass(frozen=True)
class Variation:
    """What is varied in training images: position, size, angle and light by `strength`; any colour; left and right."""

    strength: float
    colours: bool
    flip: bool

    def __call__(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return images (B, C, H, W) uint8, changed by chance."""
        result = torch.cat([_varied_group(group, generator, self.strength) for group in torch.split(raw, _GROUP)])
        if self.colours and raw.shape[1] > 1:
            order = torch.stack([torch.randperm(raw.shape[1], generator=generator) for _ in result])
            result = result.gather(1, order[:, :, None, None].expand_as(result))
        if self.colours:
            result = torch.where(_chosen(result, generator), 255 - result, result)
        return torch.where(_chosen(result, generator), result.flip(-1), result) if self.flip else result


def _chosen(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return half of the images, by chance."""
    return torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5


def _varied_group(images: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    from torchvision.transforms.v2 import InterpolationMode, functional  # noqa: PLC0415

    turn, right, down, zoom, light, contrast = (2 * torch.rand(6, generator=generator) - 1).mul(strength).tolist()
    rows, columns = images.shape[-2:]
    room = max(rows, columns) // 8
    images = functional.pad(images, [room], padding_mode="edge")
    images = functional.affine(
        images,
        angle=15 * turn,
        translate=[round(0.1 * columns * right), round(0.1 * rows * down)],
        scale=math.exp(0.15 * zoom),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )[..., room : -room or None, room : -room or None]
    images = functional.adjust_brightness(images, 1 + 0.2 * light)
    return functional.adjust_contrast(images, 1 + 0.2 * contrast)


def colours_are_arbitrary(images: Tensor, targets: Tensor) -> bool:
    """Return whether neither colours nor brightness of images (N, C, H, W) tell the classes apart.

    Nearest neighbours in the space of average colours, of brightness and of how both vary must not find the class of an
    image clearly more often than the most frequent class occurs.
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
    """Return the share of samples whose class most of their nearest neighbours have."""
    scaled = (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-3)
    distances = torch.cdist(scaled, scaled).fill_diagonal_(math.inf)
    near = targets[distances.topk(_NEIGHBOURS, largest=False).indices]
    return float((near.mode(dim=1).values == targets).float().mean())
