"""``python -m extsync``: the command line."""

from extsync.cli.main import script

script()
