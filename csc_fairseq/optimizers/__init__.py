"""fairseq optimizers; each is registered when its module is imported."""
