"""The arithmetic in plain torch: norm, rotary embedding, attention, experts, vocabulary, Philox."""
