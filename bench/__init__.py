"""Measurements of the JSON path, beside a plain script and two packages that do parts of the same job."""
