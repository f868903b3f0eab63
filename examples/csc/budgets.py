"""Budgets of finished trainings as a Markdown table: updates, audio heard, wall time of all starts together.

    python examples/csc/budgets.py NAME=checkpoint_last.pt ...
"""

import sys

from csc_fairseq.inference.fairseq_files import read_state


def audio_seconds(options: dict) -> float:
    """Seconds of audio in an update of one rank; for batches by length, the most there can be."""
    task, dataset = options["task"], options["dataset"]
    if "view_seconds" in task:
        return dataset["batch_size"] * task["views"] * task["view_seconds"]
    return dataset["max_tokens"] / task["sample_rate"]


def main() -> None:
    print("| training | updates | audio, h | wall time, min |\n| --- | --- | --- | --- |")
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        state = read_state(path)
        updates = state["optimizer_history"][-1]["num_updates"]
        hours = updates * audio_seconds(state["cfg"]) / 3600
        minutes = state["extra_state"]["previous_training_time"] / 60
        print(f"| {name} | {updates} | {hours:.1f} | {minutes:.0f} |")


if __name__ == "__main__":
    main()
