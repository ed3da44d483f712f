"""Interned series: their encoded labels, their order in time, and stale markers."""
