"""Files of weights, read once, without fairseq and without running code."""
