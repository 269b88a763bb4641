"""Health: the prober, its thresholds and one module per kind of check."""
