"""Gathers the facts: every request has a deadline, every list a bound, and what cannot be read is said so."""
