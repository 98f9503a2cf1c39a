"""`python -m polydiff` is `polydiff`."""

import sys

from polydiff.cli import main

sys.exit(main())
