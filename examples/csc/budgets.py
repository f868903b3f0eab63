"""Budgets of finished trainings as a Markdown table: updates, audio heard, wall time of all starts together.

    python examples/csc/budgets.py NAME=checkpoint_last.pt ...

What a checkpoint does not tell, as bundles and published ones, is a dash. Batches by length (max_tokens) hold the audio that is
given or less.
"""

import sys

from csc_fairseq.checkpoints.checkpoint import read_checkpoint

UNKNOWN = "–"


def audio_seconds(options: dict) -> float:
    """Seconds of audio in an update, all ranks together; for batches by length, the most there can be."""
    task, dataset = options["task"], options["dataset"]
    if "view_seconds" in task:
        batch = dataset["batch_size"] * task["views"] * task["view_seconds"]
    else:
        batch = dataset["max_tokens"] / task["sample_rate"]
    return batch * options["distributed_training"]["distributed_world_size"] * options["optimization"]["update_freq"][0]


def row(name: str, state: dict) -> str:
    """The line of one training."""
    options, history = state.get("cfg"), state.get("optimizer_history")
    updates = history[-1]["num_updates"] if history else None
    told = updates is not None and isinstance(options, dict)
    hours = f"{updates * audio_seconds(options) / 3600:.1f}" if told else UNKNOWN
    seconds = (state.get("extra_state") or {}).get("previous_training_time")
    minutes = UNKNOWN if seconds is None else f"{seconds / 60:.0f}"
    return f"| {name} | {UNKNOWN if updates is None else updates} | {hours} | {minutes} |"


def main() -> None:
    """Prints the table."""
    print("| training | updates | audio, h | wall time, min |\n| --- | --- | --- | --- |")
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        print(row(name, read_checkpoint(path).entries))


if __name__ == "__main__":
    main()
