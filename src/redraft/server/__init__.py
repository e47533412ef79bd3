"""OpenAI's API over HTTP, one engine a model behind it.

request -> schemas -> translate -> worker (the engine's thread) -> events -> response
"""

from redraft.server.app import create_app
from redraft.server.settings import Settings

__all__ = ["Settings", "create_app"]
