"""Deliberate bugs: each function puts one into the code under test."""
