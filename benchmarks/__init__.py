"""Benchmarks: each module prints figures and ratios of one run; ``python -m benchmarks`` runs them all."""
