"""Whether a network fits a device, how fast it is there, and what limits it; no weights are needed."""

from ai8x_tool.analysis.judge import Clocks, analyze_mapping, analyze_network, require_fit, with_remedies
from ai8x_tool.analysis.result import Analysis, DeviceAnalysis, LayerFigures, Resource

__all__ = [
    "Analysis",
    "Clocks",
    "DeviceAnalysis",
    "LayerFigures",
    "Resource",
    "analyze_mapping",
    "analyze_network",
    "require_fit",
    "with_remedies",
]
