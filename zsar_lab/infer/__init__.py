"""Own videos: embedded once, then classified by any list of classes; and models that are shared."""
