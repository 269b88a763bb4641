"""Pure functions from backends, verdicts and current objects to changes, each with its reasons."""
