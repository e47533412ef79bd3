"""Regular languages over characters: expressions, NFAs and DFAs. No tokens, no model."""
