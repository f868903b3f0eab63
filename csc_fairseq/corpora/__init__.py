"""Corpora on disk: `csc prepare` makes manifests of them, `csc check` looks for faults in manifests."""
