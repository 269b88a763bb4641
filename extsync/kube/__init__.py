"""Where objects live: the Store interface, the Kubernetes API behind it, the in-memory one, the cache and the writer."""
