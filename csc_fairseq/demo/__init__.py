"""The demo: synthetic voices, a short pre-training, verification, one HTML page."""
