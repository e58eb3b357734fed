"""Store resource: the database for assets and sensors."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.orchestration.tags import READS_ONLY
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.storage.database import RUN_SELECTION_TIMEOUT_MS
from echostats_pipeline.storage.store import Store


class StoreResource(dg.ConfigurableResource):
    """The store of the database that the environment names, open for the length of a run or a tick."""

    _store: Store = PrivateAttr()
    _settings: Settings = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["StoreResource"]:
        """Connect; a run that writes also creates missing indexes.

        Raises:
            SettingsError: MONGO_URI is not set, and this process was not started by an `echostats` command.
        """
        self._settings = self.read_settings()
        if self._settings.mongo_uri is None and not self._settings.embedded_mongo:
            raise SettingsError(
                "MONGO_URI is not set. Set it together with ENCRYPTION_KEY, or start Dagster by `echostats up`, which "
                "brings a database of its own."
            )
        # A tick that fails is repeated soon. A run is worth waiting for a new primary.
        patience_ms = None if context.run is None else RUN_SELECTION_TIMEOUT_MS
        with open_store(self._settings, indexes=_writes(context.run), patience_ms=patience_ms) as store:
            self._store = store
            yield self

    def read_settings(self) -> Settings:
        """Read the settings from the environment. A resource of the same kind with other settings overrides this."""
        return load_settings()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    def get(self) -> Store:
        """The open store."""
        return self._store


def _writes(run: dg.DagsterRun | None) -> bool:
    """Whether a run may write: a tick does not, and a run of only checks does not."""
    if run is None or run.tags.items() >= READS_ONLY.items():
        return False
    return bool(run.asset_selection) or not run.asset_check_selection
