"""Spotify resource: clients that read on behalf of a user."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from echostats_pipeline.accounts.connecting import open_client, open_feature_sources
from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.stages.audio_features import FeatureSource

SPOTIFY_POOL = "spotify_api"
"""Pool of all assets that call Spotify, so that all runs together stay within its limits."""


class SpotifyResource(dg.ConfigurableResource):
    """Clients for the Spotify that the settings name: the real one or the simulator."""

    store: dg.ResourceDependency[StoreResource]
    clock: dg.ResourceDependency[ClockResource]

    @contextmanager
    def client(self, user: User) -> Iterator[SpotifyClient]:
        """Return a client that reads on behalf of a user."""
        with open_client(self.store.settings, self.store.get(), user, self.clock.now) as client:
            yield client

    @contextmanager
    def feature_sources(self, user: User) -> Iterator[dict[str, FeatureSource]]:
        """Sources of audio features; Spotify is called on behalf of a user."""
        with open_feature_sources(self.store.settings, self.store.get(), user, self.clock.now) as sources:
            yield sources

    def catalog_reader(self) -> User:
        """The user on whose behalf the shared catalogue is read."""
        return catalog_reader(self.store)


def catalog_reader(store: StoreResource) -> User:
    """The user in whose jobs the work on the shared catalogue is recorded: the first active one.

    Raises:
        NotFoundError: no user is connected.
    """
    for user in store.get().users.all(simulated=store.settings.simulated):
        if user.status == "active":
            return user
    raise NotFoundError("No active user to read the catalogue for. Connect one with: echostats connect")
