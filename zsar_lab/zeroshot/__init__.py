"""Zero-shot: clips embedded once, rules that score them, and what the scores are worth."""
