"""Everything that talks to Spotify, in layers of one shape: a handler takes a request and returns a response.

    Retrying(Quota(Authorised(Logged(RequestsHandler))))      the Web API on behalf of a user
    Retrying(Quota(Logged(RequestsHandler)))                  the token endpoint, and ReccoBeats

`transport` reaches the network, `logged` writes one record per attempt, `authorised` adds the access token, `quota`
keeps below Spotify's limits and obeys its postponements, `retries` repeats what may succeed a moment later. Above them,
`client` reads whole objects and lists (`regimes` remembers what Spotify refuses the app), `reccobeats` reads audio
features, and `mapping` turns answers into our documents. `answers` tells errors apart by their meaning, `families` says
what calls are counted by, `oauth` obtains tokens and `crypto` protects them at rest. No MongoDB, no Dagster.
"""
