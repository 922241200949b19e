"""`python -m zsar_lab` is the zsar-lab command."""

import sys

from zsar_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
