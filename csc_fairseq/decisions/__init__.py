"""From scores to decisions: calibrations of a model, decisions at a prior and costs, and enrolled voices."""
