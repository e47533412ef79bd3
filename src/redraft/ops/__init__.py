"""The arithmetic, in plain torch: norm, rope, attention, experts, vocabulary, Philox."""
