"""Zero-shot: clips embedded once, methods that score them, and what the scores are worth."""
