"""Methods: from clip embeddings and class texts to scores of candidate classes, one a file."""
