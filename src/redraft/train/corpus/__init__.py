"""The corpus of real Python source: packages from the registries, filtered, split by package.

packages (table) -> wheels (pip, hash, licence) -> files (what is source) -> duplicates -> splits.
"""
