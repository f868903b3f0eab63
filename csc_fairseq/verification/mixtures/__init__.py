"""What `csc evaluate --mixtures` does."""
