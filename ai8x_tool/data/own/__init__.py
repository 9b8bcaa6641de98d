"""Datasets from the user's folders of images, sounds and tables, without code."""

from ai8x_tool.data.own.entry import own_entry

__all__ = ["own_entry"]
