"""Resource for the sources of genres besides Spotify."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from echostats_pipeline.accounts.connecting import open_tag_sources
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.stages.artist_tags import TagSource


class TagSourcesResource(dg.ConfigurableResource):
    """MusicBrainz and Last.fm, as far as the settings name them: the real ones or the simulator's."""

    store: dg.ResourceDependency[StoreResource]
    clock: dg.ResourceDependency[ClockResource]

    @contextmanager
    def opened(self) -> Iterator[dict[str, TagSource]]:
        """The sources by name."""
        with open_tag_sources(self.store.settings, self.store.get(), self.clock.now) as sources:
            yield sources
