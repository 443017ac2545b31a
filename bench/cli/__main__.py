"""`python -m bench.cli`: `fsr` where it is not installed."""

import sys

from bench.cli.main import main

sys.exit(main())
