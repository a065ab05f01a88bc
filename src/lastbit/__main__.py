"""`python -m lastbit` is `lastbit`."""

import sys

from lastbit.cli import main

sys.exit(main())
