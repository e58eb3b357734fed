"""A Spotify that runs on this machine: seeded users, their listening, the Web API and the privacy exports.

``world`` is the centre: pure and seeded. ``server`` and ``running`` put it on HTTP, ``exports`` writes the zip files a
user would request from Spotify, ``tokens`` is the accounts service, ``behaviour`` says how it treats an app, and
``history`` knows what the app could have seen. Every name and number is generated.

Nothing here imports the pipeline beyond its errors, and only the command line and the tests import this package.
"""
