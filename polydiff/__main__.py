"""The program `polydiff`: its imports may be interrupted, so they come after the handlers of signals."""

import sys

from polydiff.support.signals import exit_code, terminable, word


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        with terminable():
            from polydiff.cli import main as run

            return run()
    except KeyboardInterrupt as error:
        print(f"polydiff: {word(error)}.", file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
