"""The cross-modal model: visual backbone, visual and label tokens, cross-modal encoder, losses."""
