"""Sets of texts, character by character: expressions, and the automata that they become. No tokens,
no model."""
