"""Golden tests: recorded answers of APIs, and the samples that a config makes of them."""
