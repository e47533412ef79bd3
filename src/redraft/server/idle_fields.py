"""Idle fields: what clients send to every server of OpenAI's API, and what means nothing here.

A name with values admits these alone: with another one it would mean something that is not here.
"""

from __future__ import annotations

# llama.cpp's: how tokens are drawn one by one, and where they are computed.
LLAMA_IDLE = frozenset(
    "samplers cache_prompt id_slot n_keep n_indent n_discard n_cache_reuse t_max_prompt_ms "
    "typical_p typ_p tfs_z mirostat mirostat_tau mirostat_eta dynatemp_range dynatemp_exponent "
    "xtc_probability xtc_threshold dry_multiplier dry_base dry_allowed_length dry_penalty_last_n "
    "dry_sequence_breakers repeat_last_n penalize_nl min_keep post_sampling_probs return_tokens "
    "return_progress timings_per_token lora ignore_eos backend_sampling top_n_sigma nothink "
    "adaptive_target adaptive_decay chat_format reasoning_format preserved_tokens "
    "grammar_triggers grammar_lazy logprobs penalty_prompt n_ctx session_id".split()
)
# OpenAI's own, and the values that they may have; None admits any.
OPENAI_IDLE: dict[str, tuple[object, ...] | None] = {
    "user": None,
    "metadata": None,
    "store": None,
    "service_tier": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "prediction": None,
    "verbosity": None,
    "modalities": (["text"],),
}
# Those of other servers and of brokers, which clients send to all of them alike.
OTHERS_IDLE: dict[str, tuple[object, ...] | None] = {
    "keep_alive": None,
    "ttl": None,
    "provider": None,
    "transforms": None,
    "route": None,
    "usage": None,
    "priority": None,
    "cache_salt": None,
    "response_fields": None,
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": None,
    "use_beam_search": (False,),
    "add_generation_prompt": (True,),
}
IGNORED = OPENAI_IDLE | OTHERS_IDLE | dict.fromkeys(sorted(LLAMA_IDLE))
