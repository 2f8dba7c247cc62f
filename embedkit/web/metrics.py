"""Metrics of the server in the format of Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from embedkit.web.security import App, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Numbers and durations of the requests of one server, by method, route and status.

    Refused requests are not counted. Routes of the API are without their prefix ``/api/v1``.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "embedkit_requests",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "embedkit_request_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._current = Gauge(
            "embedkit_requests_in_progress",
            "Requests in progress.",
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)

    def measured(self, app: App) -> App:
        """Return an ASGI app whose requests are measured."""

        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500

            async def observe(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            started = time.perf_counter()
            self._current.inc()
            try:
                await app(scope, receive, observe)
            finally:
                self._current.dec()
                # The route is a template, so all photos share one series.
                route = getattr(scope.get("route"), "path", "other").removeprefix("/api/v1")
                self._requests.labels(scope["method"], route, str(status)).inc()
                self._seconds.labels(scope["method"], route).observe(time.perf_counter() - started)

        return measured
