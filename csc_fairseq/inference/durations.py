"""How long recordings and windows are, in seconds (our choice). Without torch, so that help texts can say it at once."""

LONG = 12.0
"""Longer recordings are heard in windows; no window is longer."""
LENGTH, HOP = 2.0, 0.5
"""Of windows, where nothing else is said: a length, and from one window to the next."""
