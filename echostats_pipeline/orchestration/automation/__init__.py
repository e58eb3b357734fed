"""What starts runs: sensors, schedules, alerts, the import folder."""
