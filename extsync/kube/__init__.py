"""Where objects live: the Store interface, the API behind it, the in-memory one, the cache and the writer."""
