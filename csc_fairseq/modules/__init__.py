"""Small network modules in plain PyTorch: no fairseq, no data, no losses."""
