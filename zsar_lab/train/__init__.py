"""Training: the loop, its checkpoints, and whole configurations by function."""
