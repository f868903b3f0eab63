"""Numbers in, numbers out: error rates, intervals, calibration, score normalisation, separation quality."""
