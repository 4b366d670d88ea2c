"""`python -m overparam`: the command line."""

import sys

from overparam.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
