"""Capacity: what a machine writes for how many users, from measured constants and a queue."""
