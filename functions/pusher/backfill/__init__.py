"""Backfill by hand: samples of a range of time, window by window, from an API, from files or from another server."""
