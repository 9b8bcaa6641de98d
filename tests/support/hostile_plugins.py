"""Model and dataset files with one fault each, around files that work."""

from __future__ import annotations

_DATASET = """
import sys
import numpy as np
import torch
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split

NAN, INF = float("nan"), float("inf")


def S(n=40, **more):
    parts = dict(raw=torch.randint(0, 255, (n, 1, 8, 8), dtype=torch.uint8), targets=torch.arange(n) % 3)
    return Split(**{**parts, "prepare": lambda raw: raw.float() - 128, **more})


def D(**more):
    return Dataset(**{**dict(train=S(), validation=None, test=S(20)), **more})


def E(name="Hostile", input=(1, 8, 8), labels=("a", "b", "c"), load=None, **more):
    return DatasetEntry(name, input, labels, load or globals()["load"], **more)


def load(folder, console):
    LOAD


datasets = [ENTRY]
"""
_ITEMS = """
import sys
import numpy as np
import torch

NAN, INF = float("nan"), float("inf")


class Items:
    CLASS
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        ITEM


def get(data, load_train=True, load_test=True):
    GET


entry = {"name": "Hostile", "input": (1, 8, 8), "output": ("a", "b", "c"), "loader": get}
datasets = [{**entry, **dict(MORE)}, {"name": "Hostile"}][:1]
"""
_MODEL = """
import sys
import torch
from torch import nn
import ai8x


class Net(nn.Module):
    def __init__(self, num_classes=3, num_channels=1, dimensions=(8, 8), bias=False, **more):
        super().__init__()
        self.conv = ai8x.FusedConv2dReLU(num_channels, 4, 3, padding=1, **more)
        self.fc = ai8x.Linear(4 * 64, num_classes, bias=True, wide=True, **more)
        INIT

    def forward(self, x):
        out = self.fc(self.conv(x).flatten(1))
        FORWARD


def hostile(pretrained=False, **more):
    BUILD


models = [ENTRY]
"""


def dataset(load="return D()", entry="E()"):
    """Return a dataset file whose samples are tensors."""
    return _DATASET.replace("LOAD", load).replace("[ENTRY]", f"[{entry}]")


def items(item="return torch.full((1, 8, 8), i % 3 / 3), i % 3", get="return Items(40), Items(20)", more="", kind=""):
    """Return a dataset file as the reference trainer has them."""
    return _ITEMS.replace("ITEM", item).replace("GET", get).replace("MORE", more).replace("CLASS", kind)


def model(forward="return out", init="pass", build="return Net(**more)", entry="'min_input': 1, 'dim': 2"):
    """Return a model file."""
    listed = f'[{{"name": "hostile", {entry}}}]'
    text = _MODEL.replace("FORWARD", forward).replace("INIT", init).replace("BUILD", build)
    return text.replace("[ENTRY]", listed)


GOOD_DATASET = dataset().replace('"Hostile"', '"Good"')
GOOD_MODEL = model().replace("hostile", "good")

_LOADS = {
    "exit": "sys.exit(0)",
    "exit with words": "sys.exit('bye')",
    "nothing": "return None",
    "tuple": "return S(), S()",
    "any exception": "raise BaseException('x')",
    "recursion": "return load(folder, console)",
    "memory": "np.zeros(1 << 50)",
    "no training": "return D(train=None)",
    "no test": "return D(test=None)",
    "text for training": "return D(train='abc')",
    "text for validation": "return D(validation='abc')",
    "empty validation": "return D(validation=S(0))",
    "empty training": "return D(train=S(0))",
    "empty test": "return D(test=S(0))",
    **{
        f"raw {name}": f"return D(train=S(raw={value}))"
        for name, value in {
            "NumPy": "np.zeros((40, 1, 8, 8), np.uint8)",
            "list": "[1] * 40",
            "None": "None",
            "meta": "torch.zeros(40, 1, 8, 8, device='meta')",
            "sparse": "torch.zeros(40, 1, 8, 8).to_sparse()",
            "short": "torch.zeros(5, 1, 8, 8)",
            "long": "torch.zeros(50, 1, 8, 8)",
            "channels": "torch.zeros(40, 3, 8, 8)",
            "size": "torch.zeros(40, 1, 9, 9)",
            "flat": "torch.zeros(40)",
            "scalar": "torch.zeros(())",
        }.items()
    },
    "raw of the test": "return D(test=S(40, raw=torch.zeros(40, 1, 9, 9)))",
    **{
        f"targets {name}": f"return D(train=S(targets={value}))"
        for name, value in {
            "NumPy": "np.zeros(40, int)",
            "list": "[0] * 40",
            "None": "None",
            "text": "'abc'",
            "meta": "torch.zeros(40, dtype=torch.int64, device='meta')",
            "NaN": "torch.full((40,), NAN)",
            "halves": "torch.full((40,), 0.5)",
            "too large": "torch.full((40,), 7)",
            "negative": "torch.full((40,), -1)",
            "ignored by torch": "torch.full((40,), -100)",
            "pairs": "torch.zeros(40, 2, dtype=torch.int64)",
            "complex": "torch.zeros(40, dtype=torch.complex64)",
        }.items()
    },
    "targets of the test": "return D(test=S(targets=torch.full((40,), NAN)))",
    **{
        f"prepare {name}": f"return D(train=S(prepare={value}))"
        for name, value in {
            "none": "None",
            "nothing": "lambda raw: None",
            "NumPy": "lambda raw: raw.numpy()",
            "tuple": "lambda raw: (raw,)",
            "NaN": "lambda raw: raw.float() * NAN",
            "infinite": "lambda raw: raw.float() * INF",
            "bytes": "lambda raw: raw",
            "double": "lambda raw: raw.double()",
            "meta": "lambda raw: raw.float().to('meta')",
            "exit": "lambda raw: sys.exit(3)",
            "exception": "lambda raw: 1 / 0",
            "count": "lambda raw: raw.float()[:3]",
        }.items()
    },
    "prepare of the test": "return D(test=S(prepare=lambda raw: raw.float() * NAN))",
    "augment nothing": "return D(train=S(augment=lambda raw, i, g: None))",
    "augment exit": "return D(train=S(augment=lambda raw, i, g: sys.exit()))",
    "augment arguments": "return D(train=S(augment=lambda raw: raw))",
    "augment text": "return D(train=S(augment='x'))",
}
_ENTRIES = {
    **{
        f"weights {name}": f"E(class_weights={value})"
        for name, value in {
            "NaN": "(NAN, 1, 1)",
            "infinite": "(INF, 1, 1)",
            "negative": "(-1, 1, 1)",
            "zero": "(0, 0, 0)",
            "count": "(1, 1)",
            "text": "'abc'",
            "number": "1.0",
        }.items()
    },
    **{
        f"input {value}": f"E(input={value})"
        for value in (
            *("'188'", "(1, -8, 8)", "(0, 8, 8)", "(1, 10**9, 10**9)", "(1.0, 8.0, 8.0)", "(1,)", "(1, 8, 8, 8)"),
            *("None", "(True, 8, 8)"),
        )
    },
    **{f"labels {value}": f"E(labels={value})" for value in ("3", "[]", "'abc'", "(c for c in 'abc')", "[None]")},
    "load text": "E(load='load')",
    "task number": "E(task=3)",
    "note number": "E(note=3)",
    "name number": "E(name=3), E(name='Hostile')",
    "none": "None, E()",
    "tuple": "('Hostile', 1)",
    "arguments": "DatasetEntry('Hostile')",
}
_FILES = {
    "exit in the file": "import sys\nsys.exit(0)\ndatasets = [dict(name='Hostile')]",
    "no list": "datasets = None  # Hostile",
    "text": "datasets = 'Hostile'",
    "dictionary": "datasets = {'name': 'Hostile'}",
    "numbers": "datasets = [n for n in (1, 2)]  # Hostile",
    "syntax": "def Hostile(",
    "no text": "Hostile\0",
    "encoding": "# -*- coding: nonsense -*-\ndatasets = [{'name': 'Hostile'}]",
    "import": "import nowhere_to_be_found\ndatasets = [{'name': 'Hostile'}]",
}
_ITEM = {
    "exit": "sys.exit()",
    "exception": "1 / 0",
    "nothing": "return None",
    "no target": "return torch.zeros(1, 8, 8)",
    "list": "return [[1]], 1",
    "text": "return 'ab', 1",
    "target text": "return torch.zeros(1, 8, 8), 'a'",
    "target NaN": "return torch.zeros(1, 8, 8), NAN",
    "NaN": "return torch.full((1, 8, 8), NAN), 1",
    "infinite": "return torch.full((1, 8, 8), INF), 1",
    "sizes": "return torch.zeros(1, 8, 8 + i), 1",
    "target too large": "return torch.zeros(1, 8, 8), 9",
    "meta": "return torch.zeros(1, 8, 8, device='meta'), 1",
    "complex": "return torch.zeros(1, 8, 8, dtype=torch.complex64), 1",
}
_GET = {
    "nothing": "return None",
    "one": "return Items(3)",
    "empty": "return Items(0), Items(3)",
    "exit": "sys.exit(0)",
    "text": "return 'ab', 'cd'",
    "negative length": "return Items(-1), Items(3)",
    "endless": "return Items(1 << 62), Items(3)",
    "half": "return Items(3.5), Items(3)",
}
_MORE = {
    **{f"weight {value}": f"weight={value}" for value in ("'abc'", "(NAN, 1, 1)", "1", "(1, 2)")},
    **{f"output {value}": f"output={value}" for value in ("3", "None", "[]")},
    **{f"input {value}": f"input={value}" for value in ("8", "(1, 10**6, 10**6)", "('1', 8)")},
    "loader": "loader='get'",
    "collate": "collate=3",
    "task": "task=3",
}
_VALID = ("'abc'", "[99]", "[-1]", "[NAN]", "list(range(40))")

DATASETS = {
    **{f"load: {name}": dataset(value) for name, value in _LOADS.items()},
    **{f"entry: {name}": dataset(entry=value) for name, value in _ENTRIES.items()},
    **{f"file: {name}": value for name, value in _FILES.items()},
    **{f"item: {name}": items(value) for name, value in _ITEM.items()},
    **{f"get: {name}": items(get=value) for name, value in _GET.items()},
    **{f"dictionary: {name}": items(more=value) for name, value in _MORE.items()},
    **{f"validation list: {value}": items(kind=f"valid_indices = {value}") for value in _VALID},
    "regression": dataset("return D(train=S(targets=torch.full((40, 3), INF)))", "E(task='regression')"),
}
"""Files that list the dataset Hostile, or would."""

_FORWARD = {
    "exit": "sys.exit(0)",
    "nothing": "return None",
    "tuple": "return out, 1",
    "list": "return [out]",
    "dictionary": "return {'a': out}",
    "text": "return 'x'",
    "NumPy": "return out.detach().numpy()",
    "NaN": "return out * float('nan')",
    "infinite": "return out * float('inf')",
    "exception": "1 / 0",
    "any exception": "raise BaseException('x')",
    "meta": "return out.to('meta')",
    "detached": "return out.detach()",
    "whole numbers": "return out.int()",
    "complex": "return out.to(torch.complex64)",
    "one number": "return out.sum()",
    "constant": "return torch.zeros(len(x), 3)",
    "count": "return out[:3]",
    "classes": "return out[:, :2]",
    "NaN in evaluation": "return out if self.training else out * float('nan')",
    "NaN in training": "return out * float('nan') if self.training else out",
    "nothing in evaluation": "return out if self.training else None",
}
_INIT = {
    "exit": "sys.exit()",
    "exception": "1 / 0",
    "frozen": "self.requires_grad_(False)",
    "meta": "self.to('meta')",
    "NaN": "self.fc.op.weight.data.fill_(float('nan'))",
    "double": "self.double()",
    "other layers": "self.fc = nn.LSTM(256, 3)",
    "none": "self.conv = self.fc = nn.Identity()",
    "huge": "self.fc = nn.Linear(1 << 30, 1 << 20)",
}
_BUILD = {
    "exit": "sys.exit(0)",
    "nothing": "return None",
    "class": "return Net",
    "tuple": "return Net(**more), 1",
    "exception": "1 / 0",
}
_LISTED = ("'min_input': 'x'", "'dim': '2'", "'dim': None", "'dim': 7", "'dr': 'x'", "'min_input': 100_000")

MODELS = {
    **{f"forward: {name}": model(value) for name, value in _FORWARD.items()},
    **{f"init: {name}": model(init=value) for name, value in _INIT.items()},
    **{f"build: {name}": model(build=value) for name, value in _BUILD.items()},
    **{f"entry: {value}": model(entry=value) for value in _LISTED},
    "file: exit": "import sys\nsys.exit(3)\nmodels = [{'name': 'hostile'}]",
    "file: no list": "models = None  # hostile",
    "file: text": "models = ['hostile']",
    "file: nothing": "models = [None]  # hostile",
    "file: no function": model().replace("def hostile", "def another"),
    "file: no forward": model().replace("def forward", "def backward"),
    "file: no base class": model().replace("super().__init__()", "pass"),
}
"""Files that list the model hostile, or would."""
