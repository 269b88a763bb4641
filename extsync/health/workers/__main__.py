"""``python -m extsync.health.workers FD``: a worker process, started by the pool only."""

import sys

from extsync.health.workers.worker import main

main(int(sys.argv[1]))
