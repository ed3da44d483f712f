"""Scrapes targets and JSON jobs: which are due, what they return, and the samples that come of it."""
