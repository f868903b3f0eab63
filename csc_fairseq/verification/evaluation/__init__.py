"""What `csc evaluate` and `csc content` do: from an evaluation set to a report."""
