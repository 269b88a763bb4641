"""The engine: the queue, reconcile, and the two ways to run it, continuously and once."""
