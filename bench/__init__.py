"""Measurements of the JSON path and the scrape path, each beside what else does the same job."""
