"""Which plays a history holds: facts of several sources reconciled."""
