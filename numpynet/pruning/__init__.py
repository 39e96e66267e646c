"""Pruning: which weights to take away, and exactly how many."""

from numpynet.pruning.magnitude import magnitude_mask

__all__ = ["magnitude_mask"]
