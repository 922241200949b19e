"""From video files to a catalog of clips and decoded frames on disk."""
