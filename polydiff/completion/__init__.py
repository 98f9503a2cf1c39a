"""Completion in a shell: `verb` prints a shell's script and the words that may follow, from the table of `table`."""
