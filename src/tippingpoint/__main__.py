"""``python -m tippingpoint`` is the command."""

import sys

from tippingpoint.cli import main

sys.exit(main())
