"""One corpus a file: from its published layout to recordings with labels and splits."""
