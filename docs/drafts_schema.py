"""Write the JSON schema of the drafts of streams: `python docs/drafts_schema.py`."""

from __future__ import annotations

import json
from pathlib import Path

from redraft.server.drafts import draft_schema

PAGE = Path(__file__).parent / "reference" / "drafts.schema.json"


def page() -> str:
    """Return the schema as it stands in the docs."""
    return json.dumps(draft_schema(), indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
