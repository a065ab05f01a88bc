"""Proved brackets on how far the last bit of one pixel can move a neural network's answer."""

__version__ = "0.1.0"
