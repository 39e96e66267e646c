"""``python -m numpynet`` is the command ``numpynet``."""

import os
import sys

# Python looks first in the folder where this is typed. What lies there is not to be imported: it may be a folder of
# submissions, one of them called numpy.py. Only where numpynet itself is found there, it is needed, as the last place.
here = os.getcwd()
if sys.path[:1] in ([""], [here]):
    del sys.path[0]
    if here == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        sys.path.append(here)

from numpynet.cli import main  # noqa: E402

sys.exit(main())
