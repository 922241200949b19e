"""What a person looks at: figures, playing clips, maps, tables and widgets."""
