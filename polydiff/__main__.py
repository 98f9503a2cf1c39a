"""The program `polydiff`: its imports may be interrupted, so they come after the handlers of signals."""

import sys

from polydiff.support.signals import end_at_once, exit_code, terminable, word


def main() -> int:
    """Run the command line and return its exit code; afterwards, a signal ends the process without a word."""
    try:
        with terminable():
            if sys.argv[1:2] == ["completion"]:  # a shell that waits for an answer
                from polydiff.completion.verb import answered

                if answered(sys.argv[2:]):
                    return 0
            from polydiff.cli import main as run

            return run()
    except KeyboardInterrupt as error:
        print(f"polydiff: {word(error)}.", file=sys.stderr)
        return exit_code(error)
    finally:
        end_at_once()


if __name__ == "__main__":
    sys.exit(main())
