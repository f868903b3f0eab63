"""What turns waveforms into embeddings: our encoder, and those it is compared with. `registry.py` finds one by name."""
