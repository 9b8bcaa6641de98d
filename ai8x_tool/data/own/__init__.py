"""Folders of images, sounds and tables as datasets, without code."""

from ai8x_tool.data.own.entry import own_entry

__all__ = ["own_entry"]
