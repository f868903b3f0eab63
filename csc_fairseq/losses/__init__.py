"""Losses as pure functions of tensors; each docstring gives shapes, unit and sign."""
