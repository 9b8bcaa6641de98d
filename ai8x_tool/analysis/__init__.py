"""Analysis of a network on a device: whether it fits, how fast it runs and what limits it. No weights are needed."""

from ai8x_tool.analysis.device_analysis import Clocks, analyze_mapping, analyze_network, require_fit, with_remedies
from ai8x_tool.analysis.result import Analysis, DeviceAnalysis, LayerMetrics, Resource

__all__ = [
    "Analysis",
    "Clocks",
    "DeviceAnalysis",
    "LayerMetrics",
    "Resource",
    "analyze_mapping",
    "analyze_network",
    "require_fit",
    "with_remedies",
]
