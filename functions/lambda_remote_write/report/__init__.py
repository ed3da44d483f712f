"""What a run says of itself: the report, the log line with EMF metrics, and its own series."""
