"""Everybody of a simulated world, connected."""

from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.spotify.oauth import SCOPES, challenge, new_verifier
from echostats_pipeline.stages.accounts import SIMULATED_CLIENT_ID, connect_account
from echostats_pipeline.storage.store import Store


def connect_everybody(settings: Settings, store: Store, simulator: RunningSimulator) -> list[User]:
    """Let everybody consent before anything goes wrong."""
    faults = simulator.behaviour.faults
    simulator.behave(faults={})
    users = []
    for person in simulator.world.users:
        verifier = new_verifier()
        code = simulator.consent(
            person.id,
            client_id=SIMULATED_CLIENT_ID,
            redirect_uri=settings.spotify_redirect_uri,
            scope=" ".join(SCOPES),
            code_challenge=challenge(verifier),
        )
        users.append(
            connect_account(
                settings, store, code=code, verifier=verifier, timezone=person.timezone, now=simulator.clock.now()
            )
        )
    simulator.behave(faults=faults)
    return users
