"""Model and dataset files as people write them for the reference trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.training import evaluation_run, trainer

MODELS = '''
"""
Networks of our group
"""
from torch import nn

import ai8x
import ai8x_blocks


class ResNet(nn.Module):
    """
    Residual additions, poolings, a layer of torch in between
    """
    def __init__(
            self,
            num_classes=10,
            num_channels=1,
            dimensions=(12, 12),  # pylint: disable=unused-argument
            bias=False,
            **kwargs
    ):
        super().__init__()

        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 16, 3, stride=1, padding=1, bias=bias,
                                          **kwargs)
        self.conv2 = ai8x.FusedConv2dReLU(16, 16, 3, 'Conv2d', None, 2, 2, 1, 1, 1, bias=bias, **kwargs)
        self.resid1 = ai8x.Add()
        self.conv3 = ai8x.FusedMaxPoolConv2dBNReLU(16, 24, 3, pool_size=2, pool_stride=2, stride=1,
                                                   padding=1, bias=True, batchnorm='NoAffine',
                                                   **kwargs)
        self.dropout = nn.Dropout(0.1)
        self.pool = ai8x.MaxPool2d(kernel_size=2, stride=2, **kwargs)
        self.block = ai8x_blocks.ConvResidualBottleneck(24, 24, 1.5, 1, True, **kwargs)
        self.branches = nn.ModuleList([Twice(24, 8, **kwargs), Twice(24, 8, **kwargs)])
        self.sum = ai8x.Sub()
        self.fc = ai8x.Linear(8 * 9, num_classes, bias=True, wide=True, **kwargs)

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x):  # pylint: disable=arguments-differ
        """Forward prop"""
        x = self.conv1(x)
        x = self.resid1(self.conv2(x), x)
        x = self.block(self.pool(self.dropout(self.conv3(x))))
        x = self.sum(self.branches[0](x), self.branches[1](x))
        x = x.view(x.size(0), -1)
        return self.fc(x)


class Twice(ai8x.QuantizationAwareModule):
    """
    Base class arguments, in their order
    """
    def __init__(self, inp, out, weight_bits=None, bias_bits=None, quantize_activation=False):
        conv = nn.Conv2d(inp, out, kernel_size=3, padding=1, bias=True)
        super().__init__(None, 'ReLU', False, weight_bits, bias_bits, quantize_activation,
                         None, conv, nn.functional.conv2d, None)


class Sound(nn.Module):
    """
    One dimension, dilation, and a shape that depends on the device
    """
    def __init__(self, num_classes=3, num_channels=4, dimensions=(32, 1), bias=False, **kwargs):
        super().__init__()
        assert ai8x.dev.WEIGHT_DEPTH in (768, 5120) and not ai8x.dev.round_avg
        self.conv1 = ai8x.FusedConv1dBNReLU(num_channels, 16, 3, padding=1, bias=bias, **kwargs)
        self.conv2 = ai8x.FusedAvgPoolConv1dReLU(16, 16, 3, pool_size=2, dilation=2, bias=bias, **kwargs)
        self.fc = ai8x.FusedLinearReLU(16 * (dimensions[0] // 2 - 4), 20, bias=bias, **kwargs)
        self.out = ai8x.Linear(20, num_classes, None, bias, None, True, **kwargs)

    def forward(self, x):  # pylint: disable=arguments-differ
        """Forward prop"""
        x = self.conv2(self.conv1(x))
        x = self.fc(x.view(x.size(0), -1))
        return self.out(x)


def resnet(pretrained=False, **kwargs):
    """
    Constructs the residual model.
    """
    assert not pretrained
    return ResNet(**kwargs)


def sound(pretrained=False, **kwargs):
    """
    Constructs the sound model.
    """
    assert not pretrained
    return Sound(**kwargs)


models = [
    {
        'name': 'resnet',
        'min_input': 1,
        'dim': 2,
    },
    {
        'name': 'sound',
        'min_input': 1,
        'dim': 1,
    },
]
'''

DATASETS = '''
"""
Digits of our own, and tones
"""
import os
import random

import numpy as np
import torch
from torch.utils.data import Dataset

import ai8x

from datasets.common import Compose, ToTensor


class Squares(Dataset):
    """Bright squares in one of four corners; bytes in a file, as MNIST has them"""
    def __init__(self, root, train, transform=None, truncate=False):
        path = os.path.join(root, 'SQUARES', 'raw', 'train.npy' if train else 'test.npy')
        if not os.path.exists(path):
            print('Download SQUARES first!')
            raise SystemExit(1)
        content = np.load(path)
        self.data, self.targets = content[:, :-1].reshape(-1, 12, 12), content[:, -1]
        self.transform = transform
        if truncate:
            self.data, self.targets = self.data[:1], self.targets[:1]

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image = self.data[index]
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.targets[index])


class Noise:
    """Augmentation with all kinds of random numbers"""
    def __call__(self, img):
        brightness = 0.1 * random.random() + 0.1 * np.random.rand()
        return torch.clamp(img * 0.8 + brightness + 0.02 * torch.randn(img.shape), 0., 1.)


def squares_get_datasets(data, load_train=True, load_test=True):
    """
    Load the squares
    """
    (data_dir, args) = data

    train_dataset = test_dataset = None
    if load_train:
        train_transform = Compose([ToTensor(), Noise(), ai8x.normalize(args=args)])
        train_dataset = Squares(data_dir, train=True, transform=train_transform)
    if load_test:
        test_transform = Compose([ToTensor(), ai8x.normalize(args=args)])
        test_dataset = Squares(data_dir, train=False, transform=test_transform)
        if args.truncate_testset:
            test_dataset.data = test_dataset.data[:1]
    return train_dataset, test_dataset


class Tones(Dataset):
    """Three frequencies; the training set lists its validation samples"""
    def __init__(self, count, start, args):
        self.args, self.count, self.start = args, count, start
        self.norm = ai8x.normalize(args)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        index += self.start
        steps = torch.arange(128).reshape(4, 32)
        x = 0.5 + 0.4 * torch.sin(steps * (0.3 + 0.7 * (index % 3)) + index)
        return self.norm(x), torch.tensor(index % 3)


def tones_get_datasets(data, load_train, load_test):
    """
    Load the tones
    """
    (_, args) = data
    train = test = None
    if load_train:
        train = Tones(90, 0, args)
        train.valid_indices = range(0, 90, 9)
    if load_test:
        test = Tones(30, 1000, args)
    return train, test


def boxes_get_datasets(data, load_train=True, load_test=True):
    """
    Images with any number of boxes
    """
    (_, args) = data
    norm = ai8x.normalize(args=args)

    def item(number):
        boxes = torch.rand(number % 3 + 1, 4)
        return norm(torch.rand(1, 4, 4)), (boxes, torch.ones(len(boxes), dtype=torch.int64))
    return [item(n) for n in range(8)], [item(n) for n in range(4)]


def collate(batch):
    """Keep the boxes in lists"""
    return torch.stack([entry[0] for entry in batch]), [entry[1] for entry in batch]


datasets = [
    {
        'name': 'SQUARES',
        'input': (1, 12, 12),
        'output': ('northwest', 'northeast', 'southwest', 'southeast'),
        'weight': (1, 1, 1, 0.5),
        'loader': squares_get_datasets,
    },
    {
        'name': 'TONES',
        'input': (4, 32),
        'output': list(range(3)),
        'loader': tones_get_datasets,
    },
    {
        'name': 'BOXES',
        'input': (1, 4, 4),
        'output': (1,),
        'loader': boxes_get_datasets,
        'collate': collate,
    },
]
'''

COMMON = '''
"""
Shared by datasets, as a transforms library would be
"""
import torch


class Compose:
    """One after the other"""
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, img):
        for transform in self.transforms:
            img = transform(img)
        return img


class ToTensor:
    """Bytes to 0...1"""
    def __call__(self, pic):
        return torch.from_numpy(pic).unsqueeze(0).float().div(255.)
'''

UNUSABLE = "import torch\nfrom torchvision_of_old import transforms\n\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in (
        ("models/our-nets.py", MODELS),
        ("models/broken.py", UNUSABLE + "models = [{'name': 'brokennet', 'min_input': 1, 'dim': 2}]\n"),
        ("datasets/ours.py", DATASETS),
        ("datasets/common.py", COMMON),
        ("datasets/broken.py", UNUSABLE + "datasets = [{'name': 'BROKEN', 'input': (1, 2), 'output': (1, 2)}]\n"),
        ("configs/qat/second.yaml", "start_epoch: 1\nweight_bits: 8\noverrides: {conv2: {weight_bits: 4}}\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainer.Trainer, "_draw", lambda *_: None)
    monkeypatch.setattr(evaluation_run, "_draw", lambda *_: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def squares(workspace: Path) -> Path:
    """The files of the dataset SQUARES."""
    folder = workspace / "data" / "SQUARES" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for name, count in (("train", 160), ("test", 40)):
        targets = random.integers(0, 4, count)
        images = random.integers(0, 70, (count, 12, 12))
        for image, target in zip(images, targets, strict=True):
            row, column = divmod(int(target), 2)
            image[6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 150
        np.save(folder / f"{name}.npy", np.column_stack([images.reshape(count, -1), targets]).astype(np.uint8))
    return workspace


@pytest.fixture
def console() -> Console:
    return Console(verbosity=-1)
