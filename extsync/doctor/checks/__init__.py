"""The checks: facts in, findings out. Pure: no I/O, no clock. Each module is one theme of the troubleshooting."""
