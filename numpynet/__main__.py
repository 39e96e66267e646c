"""``python -m numpynet`` is the command ``numpynet``."""

import sys

from numpynet.cli import main

sys.exit(main())
