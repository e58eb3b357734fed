"""Gives a simulated person's consent over HTTP, to a simulator in another process."""

import requests

from echostats_pipeline.accounts.connecting import SIMULATED_CLIENT_ID, connect_account
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.oauth import SCOPES, challenge, new_verifier
from echostats_pipeline.storage.store import Store


def connect(settings: Settings, store: Store, simulator_url: str, person_id: str, timezone: str) -> User:
    """Give a person's consent, without a browser."""
    verifier = new_verifier()
    answer = requests.get(
        f"{simulator_url}/authorize",
        params={
            "client_id": SIMULATED_CLIENT_ID,
            "response_type": "code",
            "redirect_uri": settings.spotify_redirect_uri,
            "scope": " ".join(SCOPES),
            "code_challenge_method": "S256",
            "code_challenge": challenge(verifier),
            "login_as": person_id,
        },
        allow_redirects=False,
        timeout=30,
    )
    code = answer.headers["Location"].partition("code=")[2].partition("&")[0]
    return connect_account(settings, store, code=code, verifier=verifier, timezone=timezone, now=utc_now())
