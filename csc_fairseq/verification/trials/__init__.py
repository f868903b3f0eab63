"""Trials: which voices are compared, who interferes, and what is heard."""
