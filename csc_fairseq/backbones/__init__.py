"""Encoders of one interface, for heads that are trained on top of them: waveforms in, frames of every layer out."""
