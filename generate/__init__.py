"""Writes what is generated in docs/ and template.yaml: `make docs`, `make rules`, `make screenshot`."""
