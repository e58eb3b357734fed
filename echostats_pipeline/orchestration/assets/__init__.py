"""One module per stage, one asset per collection it writes. Bodies read, call a stage, and report."""

import warnings

import dagster as dg

# Backfill policies are what makes a range of days one run; this project pins the minor version they were tested on.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

OWNER = "team:echostats"
