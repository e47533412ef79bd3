"""Other engines behind redraft's API: any server that speaks OpenAI's, vLLM's among them.

model = redraft.connect("http://127.0.0.1:8000")
print(model.generate(messages=[{"role": "user", "content": "Hello"}]).text)
"""

from redraft.remote.capabilities import ENGINES, Capabilities
from redraft.remote.model import RemoteModel, connect

__all__ = ["ENGINES", "Capabilities", "RemoteModel", "connect"]
