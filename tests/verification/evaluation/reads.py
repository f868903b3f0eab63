"""How often checkpoints are read, and by whom."""

import pytest
import torch
from fairseq import checkpoint_utils

from csc_fairseq.checkpoints import checkpoint


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with every read from now on: "csc_fairseq", "torch.load" or "fairseq"."""
    reads: list[str] = []

    def note(module: object, name: str, reader: str) -> None:
        original = getattr(module, name)

        def noted(*arguments, **options):
            reads.append(reader)
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, noted)

    note(checkpoint, "read_entries", "csc_fairseq")
    note(torch, "load", "torch.load")
    for name in ("load_checkpoint_to_cpu", "load_model_ensemble", "load_model_ensemble_and_task"):
        note(checkpoint_utils, name, "fairseq")
    return reads
