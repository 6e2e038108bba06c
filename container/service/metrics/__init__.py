"""Figures of requests and processes for whoever watches over them, as Prometheus and OpenMetrics have them."""

from container.service.metrics.figures import Counted, Figures, shared_words
from container.service.metrics.metering import Metering, memory_of_process, pages_of
from container.service.metrics.page import Metrics, is_page

__all__ = [
    "Counted",
    "Figures",
    "Metering",
    "Metrics",
    "is_page",
    "memory_of_process",
    "pages_of",
    "shared_words",
]
