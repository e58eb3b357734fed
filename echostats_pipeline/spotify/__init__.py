"""Talks to Spotify, in layers of one shape: a handler takes a request and returns a response.

    Retrying(Quota(AuthorisingHandler(LoggingHandler(RequestsHandler))))      the Web API on behalf of a user
    Retrying(Quota(LoggingHandler(RequestsHandler)))                          the token endpoint, and ReccoBeats

`transport` sends requests over the network, `call_log` writes one record per attempt, `authorised` adds the access
token, `quota` keeps below Spotify's limits and obeys its postponements, and `retries` repeats calls that may succeed a
moment later. Above these layers, `client` reads whole objects and lists, `reccobeats` reads audio features, and
`mapping` turns responses into documents. `endpoint_access` remembers which endpoints Spotify refuses to the app,
`responses` distinguishes errors by their meaning, `families` groups the calls for counting, `oauth` obtains tokens and
`crypto` encrypts them for storage. No MongoDB, no Dagster.
"""
