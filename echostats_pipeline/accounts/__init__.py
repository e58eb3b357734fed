"""People: connecting, consent, key rotation, export and removal of their data."""
