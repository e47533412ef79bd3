"""OpenAI's API over HTTP, one engine behind it.

request -> wire (checked) -> jobs (what the engine is asked) -> worker (the engine's thread) ->
events -> answers
"""

from redraft.server.app import create_app
from redraft.server.settings import Settings

__all__ = ["Settings", "create_app"]
