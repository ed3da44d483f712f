"""The user's YAML: read strictly, reported kindly, frozen."""
