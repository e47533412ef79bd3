"""Attacks on a real server. `make attack` runs them whole, the tests run them in a short form."""
