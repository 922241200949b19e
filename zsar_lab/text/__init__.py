"""From class names to semantic embeddings: class texts and the language models that read them."""
