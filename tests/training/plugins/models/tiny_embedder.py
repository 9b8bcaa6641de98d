"""A teacher and a student that turn faces into embeddings; both cut their part out of six channels."""

import ai8x
from torch import nn


class TinyTeacher(nn.Module):
    def __init__(self, num_classes, num_channels, dimensions, bias, dimensionality=16, device=None, **kwargs):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.head = nn.Linear(8 * 16, dimensionality)
        self.backbone.requires_grad_(False)

    def forward(self, x):
        x = self.head(self.backbone(x[:, -3:]).flatten(1))
        return x / x.norm(dim=1, keepdim=True).clamp(min=1e-6)


class TinyStudent(nn.Module):
    def __init__(self, num_classes, num_channels, dimensions, bias, dimensionality=16, device=None, **kwargs):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dBNReLU(3, 16, 3, padding=1, bias=True, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(16, 16, 3, padding=1, bias=bias, **kwargs)
        self.pool = ai8x.MaxPool2d(dimensions[0] // 8)
        self.linear = ai8x.Linear(16 * 16, dimensionality, bias=True, **kwargs)

    def forward(self, x):
        return self.linear(self.pool(self.conv2(self.conv1(x[:, :3]))).flatten(1))


def tinyteacher(pretrained=False, **kwargs):
    """Embeddings by a frozen backbone and a head."""
    return TinyTeacher(**kwargs)


def tinystudent(pretrained=False, **kwargs):
    """Embeddings for the accelerator."""
    return TinyStudent(**kwargs)


models = [
    {"name": "tinyteacher", "min_input": 1, "dim": 2, "dr": True},
    {"name": "tinystudent", "min_input": 1, "dim": 2, "dr": True},
]
