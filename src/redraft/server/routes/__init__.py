"""HTTP routes, one file a group."""
