"""From characters to tokens: UTF-8, token transitions, and the DFA over tokens."""
