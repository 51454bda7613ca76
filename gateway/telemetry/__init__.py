"""Sinks that read a closed Exchange."""
