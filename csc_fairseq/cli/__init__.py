"""The `csc` command: main.py dispatches to one module per verb."""
