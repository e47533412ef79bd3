"""Application: models, state, and the routes to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from redraft import __version__
from redraft.api import Model
from redraft.server.api_page import add_api_page
from redraft.server.errors import descriptions, explain
from redraft.server.forwarded import ForwardedMiddleware, checked_proxies
from redraft.server.json_text import JsonAnswer
from redraft.server.keys import checked_keys
from redraft.server.middleware import AccessMiddleware
from redraft.server.origins import checked_origins
from redraft.server.prefix import PrefixMiddleware, checked_prefix
from redraft.server.routes.anthropic import anthropic_routes
from redraft.server.routes.infill import infill_routes
from redraft.server.routes.llamacpp import fim_routes, llamacpp_routes
from redraft.server.routes.ollama import ollama_routes
from redraft.server.routes.openai import openai_routes
from redraft.server.routes.playground import add_page, playground_routes
from redraft.server.routes.responses import response_routes
from redraft.server.routes.sessions import session_routes
from redraft.server.runtime.freed_memory import FreedMemory
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.store import Store
from redraft.server.settings import Settings
from redraft.server.speech import Recogniser


def create_app(
    models: Mapping[str, Model],
    settings: Settings | None = None,
    recogniser: Recogniser | None = None,
    store: Store | None = None,
) -> FastAPI:
    """Return the application that serves models by their names, and adapters by theirs.

    Args:
        recogniser: recognises speech for the page; None offers no speech.
        store: keeps sessions and pages; None for one of `settings.state`.

    Raises:
        ConfigError: the state file, the path prefix, an origin, a proxy or a key cannot be used, or
            two models or adapters have one name.
    """
    settings = settings or Settings()
    metrics = Metrics()
    registry, state = Registry(models, settings, metrics), store or Store(settings.state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        registry.start()
        memory = FreedMemory()
        try:
            yield
        finally:
            memory.close()
            await registry.stop()
            state.close()

    prefix = checked_prefix(settings.root_path)
    # What cannot be used is told now, not at the first request.
    checked_origins(settings.cors_origins)
    checked_keys(settings.all_keys)
    app = FastAPI(
        title="redraft",
        version=__version__,
        lifespan=lifespan,
        default_response_class=JsonAnswer,
        responses=descriptions(),
        docs_url=None,  # those of FastAPI load scripts from elsewhere
        redoc_url=None,
    )
    app.state.stop, app.state.registry, app.state.metrics = registry.stop, registry, metrics
    for routes in (
        openai_routes(registry),
        response_routes(registry, state),
        anthropic_routes(registry),
        llamacpp_routes(registry),
        fim_routes(registry),
        ollama_routes(registry),
        infill_routes(registry),
        session_routes(registry, state),
        playground_routes(recogniser),
    ):
        app.include_router(routes)
    _watch(app, registry, metrics)
    add_api_page(app)
    add_page(app, prefix)
    images = any(model.images is not None for model in models.values())
    app.add_middleware(AccessMiddleware, metrics=metrics, settings=settings, images=images)
    if prefix:
        app.add_middleware(PrefixMiddleware, prefix=prefix)
    app.add_middleware(ForwardedMiddleware, proxies=checked_proxies(settings.proxies))
    explain(app)
    return app


def _watch(app: FastAPI, registry: Registry, metrics: Metrics) -> None:
    """Add the routes for monitoring."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JsonAnswer:
        """Say whether a request would be taken now: 503 while the server stops, or is full."""
        status = registry.status
        body = {"status": status, "requests": registry.load}
        return JsonAnswer(body, 200 if status == "ready" else 503)

    metrics.watch("redraft_requests", "Requests that run or wait.", lambda: registry.load)
    metrics.watch(
        "redraft_prefix_cache_bytes",
        "Bytes of the prefix cache.",
        lambda: sum(one.engine.prefixes.held for one in registry.hosts),
    )
    app.get("/metrics", include_in_schema=False)(metrics.page)
