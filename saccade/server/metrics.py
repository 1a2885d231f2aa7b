"""Measurements of a server, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What one server counts; each has a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "saccade_requests",
            "Requests that were answered.",
            ["path", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "saccade_request_seconds",
            "From the head of a request to its answer.",
            ["path"],
            registry=registry,
        )
        self._batches = Histogram(
            "saccade_batch_size",
            "Pieces of work in a batch.",
            ["work"],
            buckets=SIZES,
            registry=registry,
        )
        self._images = Counter(
            "saccade_images",
            "Images asked for, by what became of them.",
            ["event"],
            registry=registry,
        )

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read whenever somebody asks for it."""
        Gauge(name, about, registry=self._registry).set_function(value)

    def batch(self, work: str, size: int) -> None:
        """Count a batch."""
        self._batches.labels(work).observe(size)

    def image(self, event: str) -> None:
        """Count an image: "hit", "miss" or "eviction" of the cache."""
        self._images.labels(event).inc()

    def text(self) -> bytes:
        """All of them in the text form of Prometheus."""
        return generate_latest(self._registry)
