"""Metrics into Amazon Managed Service for Prometheus from a scheduled Lambda: fetch, encode, sign, send."""

import warnings

__version__ = "0.1.0"
USER_AGENT = f"lambda-remote-write/{__version__}"

# requests signs and guesses no text's charset, and the artefact does without the library that would.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
