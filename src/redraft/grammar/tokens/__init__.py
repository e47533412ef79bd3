"""From characters to the tokens of a vocabulary."""
