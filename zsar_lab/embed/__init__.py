"""Clip embeddings: of our checkpoints and of public models, made once and saved."""
