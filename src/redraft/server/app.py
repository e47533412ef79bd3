"""The application: models, what is kept, and the routes to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from redraft import __version__
from redraft.api import Model
from redraft.server.errors import descriptions, explain
from redraft.server.middleware import Guard
from redraft.server.routes.infill import filling_routes
from redraft.server.routes.openai import chat_routes
from redraft.server.routes.playground import add_page, play_routes
from redraft.server.routes.sessions import keeping_routes
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.store import State
from redraft.server.settings import Settings
from redraft.server.speech import Recogniser


def create_app(
    models: Mapping[str, Model], settings: Settings | None = None, ears: Recogniser | None = None
) -> FastAPI:
    """The application that serves models by their names; `ears` recognise speech.

    Raises:
        ConfigError: the file of what is kept cannot be used.
    """
    given = settings or Settings()
    metrics = Metrics()
    served, state = Registry(models, given, metrics), State(given.state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.start()
        try:
            yield
        finally:
            await served.stop()
            state.close()

    app = FastAPI(title="redraft", version=__version__, lifespan=lifespan, responses=descriptions())
    for routes in (
        chat_routes(served),
        filling_routes(served),
        keeping_routes(served, state),
        play_routes(ears),
    ):
        app.include_router(routes)
    _watch(app, served, metrics)
    add_page(app)
    app.add_middleware(Guard, metrics=metrics, settings=given)
    explain(app)
    return app


def _watch(app: FastAPI, served: Registry, metrics: Metrics) -> None:
    """Routes for those who watch over the server."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, Any]:
        return {"status": "ready", "requests": served.load}

    metrics.watch("redraft_requests", "Requests that run or wait.", lambda: served.load)
    metrics.watch(
        "redraft_prefix_cache_bytes",
        "Kept of prompts.",
        lambda: sum(one.engine.prefixes.held for one in served),
    )
    app.get("/metrics", include_in_schema=False)(metrics.page)
