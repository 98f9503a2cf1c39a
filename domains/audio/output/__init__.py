"""Output of sounds as HTML and as files."""
