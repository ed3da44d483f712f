"""Remote write: encodes samples as requests, sends them in order, and decides what each answer means."""
