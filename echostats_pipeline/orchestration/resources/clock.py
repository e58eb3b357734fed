"""Clock resource: the present instant, so that tests and simulations can set the time."""

from datetime import datetime

import dagster as dg

from echostats_pipeline.model.base import utc_now


class ClockResource(dg.ConfigurableResource):
    """Real time. A test or simulation replaces it by a resource of the same kind, which launchpads do not show."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return utc_now()
