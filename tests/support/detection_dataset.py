"""A detection dataset as the reference trainer loads them: items made one by one, objects in lists."""

import torch

SIDE = 74


class Bars(torch.utils.data.Dataset):
    """Bright bars on noise, which is new in each epoch; every other group of four images has no object."""

    def __init__(self, count, seed, broken=None):
        self.count, self.seed, self.broken = count, seed, broken

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if number == self.broken:
            raise ValueError(f"sample {number} is broken")
        fixed = torch.Generator().manual_seed(self.seed + number)
        image = torch.rand(3, SIDE, SIDE, generator=fixed) * 0.3 + 0.1 * torch.rand(3, SIDE, SIDE)
        corners = torch.rand(number % 3 if number % 8 > 3 else 0, 2, generator=fixed) * 0.5
        boxes = torch.cat([corners, corners + 0.3], dim=1)
        for x0, y0, x1, y1 in (boxes * SIDE).long().tolist():
            image[:, y0:y1, x0:x1] += 0.4
        return image.clamp(0, 1) - 0.5, boxes, torch.ones(len(boxes), dtype=torch.long)

    @staticmethod
    def collate(items):
        images, boxes, labels = zip(*items, strict=True)
        return torch.stack(images), list(boxes), list(labels)


def load_bars(data, load_train, load_test):
    return Bars(25, 1), Bars(9, 100)


def load_broken(data, load_train, load_test):
    return Bars(25, 1, broken=13), Bars(9, 100)


datasets = [
    {"name": name, "input": (3, SIDE, SIDE), "output": (1,), "loader": load, "collate": Bars.collate}
    for name, load in (("Bars", load_bars), ("BrokenBars", load_broken))
]
