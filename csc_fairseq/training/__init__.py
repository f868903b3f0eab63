"""What surrounds fairseq's training loop: folders of runs, launchers, checkpoint files, resuming and stopping."""
