"""The command line `pusher`. It is never in the artefact that Lambda runs."""
