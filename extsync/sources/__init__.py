"""Where backends come from: one folder a plugin, found by entry point (group ``extsync.sources``)."""
