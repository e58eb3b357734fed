"""Accounts of users: connecting, consent, key rotation, export and removal of a user's data."""
