"""A detector with one map of 9×9 cells and two priors for each."""

import ai8x
import torch
from torch import nn

RATIOS = (0.45, 0.7)


class TinySSD(nn.Module):
    def __init__(self, num_classes, num_channels, dimensions, bias, device, wide=False, **kwargs):
        super().__init__()
        self.num_classes, self.wide = num_classes, wide
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 16, 3, padding=1, bias=True, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(16, 16, 3, padding=1, bias=True, **kwargs)
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(16, 32, 3, padding=1, bias=True, **kwargs)
        self.conv4 = ai8x.FusedMaxPoolConv2dReLU(32, 32, 3, padding=1, bias=True, **kwargs)
        self.conv5 = ai8x.FusedConv2dReLU(32, 32, 3, padding=1, bias=True, **kwargs)
        self.loc = ai8x.Conv2d(32, len(RATIOS) * 4, 3, padding=1, bias=True, **kwargs)
        self.cl = ai8x.Conv2d(32, len(RATIOS) * num_classes, 3, padding=1, bias=True, wide=wide, **kwargs)
        self.priors_cxcy = priors().to(device)

    def are_locations_wide(self):
        return False

    def are_scores_wide(self):
        return self.wide

    def forward(self, x):
        x = self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))
        locations = self.loc(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4)
        return locations, self.cl(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.num_classes)


def priors():
    places = (torch.arange(9) + 0.5) / 9
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    ratios = torch.tensor(RATIOS).sqrt()
    sizes = torch.stack([0.5 * ratios, 0.5 / ratios], dim=1).expand(9, 9, -1, 2)
    centers = torch.stack([columns, rows], dim=2)[:, :, None].expand_as(sizes)
    return torch.cat([centers, sizes], dim=3).reshape(-1, 4).clamp(0, 1)


def tinyssd(pretrained=False, **kwargs):
    """A small detector."""
    return TinySSD(**kwargs)


def tinyssdwide(pretrained=False, **kwargs):
    """A small detector whose scores are wide."""
    return TinySSD(wide=True, **kwargs)


models = [{"name": "tinyssd", "min_input": 1, "dim": 2}, {"name": "tinyssdwide", "min_input": 1, "dim": 2}]
