"""Databases in the shape of other applications, kept up to date from the core. Nothing in the core imports them."""
