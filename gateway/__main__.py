"""`python -m gateway`: a worker process; the node starts it."""

import sys

from gateway.worker import main

sys.exit(main())
