"""Models registered with fairseq: dataclass and wiring only."""
