"""`python -m tfimportance`, the same as the command."""

import sys

from tfimportance.cli import main

if __name__ == "__main__":
    sys.exit(main())
