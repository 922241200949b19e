"""A user's own videos, named by classes of their own: embedded once, then named by any list of classes in a moment."""
