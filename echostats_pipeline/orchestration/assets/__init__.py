"""Assets: one module per stage, one asset per collection it writes. An asset reads, calls a stage, and reports."""

import warnings

import dagster as dg

# A backfill policy makes a range of days one run. This project pins the minor version that the policies were tested on.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

OWNER = "team:echostats"
