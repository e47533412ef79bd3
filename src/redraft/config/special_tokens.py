"""Ids of Gemma's special tokens: the only module that writes them as numbers."""

from __future__ import annotations

PAD_ID = 0
EOS_ID = 1
BOS_ID = 2
# Opens a tool's response. The caller supplies that response, so a generated text ends here.
TOOL_RESPONSE_ID = 50
END_OF_TURN_ID = 106

# The string of each special token, as Gemma's `tokenizer.json` has it.
SPECIAL_TOKENS = {
    PAD_ID: "<pad>",
    EOS_ID: "<eos>",
    BOS_ID: "<bos>",
    3: "<unk>",
    4: "<mask>",
    46: "<|tool>",
    47: "<tool|>",
    48: "<|tool_call>",
    49: "<tool_call|>",
    TOOL_RESPONSE_ID: "<|tool_response>",
    51: "<tool_response|>",
    52: '<|"|>',
    98: "<|think|>",
    100: "<|channel>",
    101: "<channel|>",
    105: "<|turn>",
    END_OF_TURN_ID: "<turn|>",
}
