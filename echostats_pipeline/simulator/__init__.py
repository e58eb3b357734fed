"""Simulated Spotify on this machine: seeded users, their plays, the Web API and the privacy exports.

``world`` is the centre: pure and seeded. ``server`` and ``running`` serve it over HTTP. ``exports`` writes the zip
files that a user can request from Spotify. ``tokens`` issues the tokens of the accounts service, ``behaviour`` says how
Spotify treats an app, and ``history`` knows which plays the app could have seen. Every name and number is generated.

Nothing here imports the pipeline beyond its errors, and only the command line and the tests import this package.
"""
