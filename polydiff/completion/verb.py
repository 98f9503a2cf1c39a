"""The verb `completion`: the script of a shell, and the words that a script requests."""

from __future__ import annotations

from collections.abc import Sequence

from polydiff.completion.scripts import SCRIPTS

WORDS = "words"
"""Word with which a script requests what may follow a line."""


def answered(words: Sequence[str]) -> bool:
    """Answer a shell, and return whether the words were such a request; nothing is imported that takes time."""
    if len(words) == 1 and words[0] in SCRIPTS:
        print(SCRIPTS[words[0]], end="")
        return True
    if words[:1] != [WORDS]:
        return False
    from polydiff.completion.candidates import candidates
    from polydiff.completion.table import names, table

    describe = words[1:2] == ["--describe"]
    for word, text in candidates(words[-1] if len(words) > 1 else "", table(), names):
        print(f"{word}\t{text}" if describe else word)
    return True


def completion(words: Sequence[str]) -> int:
    """Run `polydiff completion` and return its exit code."""
    if not answered(words):
        from polydiff.cli.parsing import Parser

        parser = Parser("completion", "Print the script by which a shell completes verbs, options, domains and keys.")
        parser.usage = "polydiff completion bash|zsh|fish"
        parser.add_argument(
            "shell", choices=list(SCRIPTS), help="bash: add `source <(polydiff completion bash)` to ~/.bashrc"
        )
        parser.read(words)
    return 0
