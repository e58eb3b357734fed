"""Everything that talks to Spotify, in layers of one shape: a handler takes a request and returns a response.

`transport` reaches the network, `logged` writes one record per attempt, `authorised` adds the access token,
`client` reads whole objects and lists, `mapping` turns them into our documents; `oauth` obtains tokens and `crypto`
protects them at rest. No MongoDB, no Dagster.
"""
