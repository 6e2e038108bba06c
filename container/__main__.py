"""`python -m container` is the command `container`."""

import sys

from container.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
