"""The manifest, its loader, its schema, and the settings of the process."""
