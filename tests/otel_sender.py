"""A program instrumented with OpenTelemetry's SDK, told by its environment where to send: N lines of each signal."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind


def main(count: int) -> None:
    loggers = LoggerProvider()
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)])

    log = logging.getLogger("shop")
    log.setLevel(logging.INFO)
    log.addHandler(LoggingHandler(logger_provider=loggers))
    tracer = tracers.get_tracer("shop.http", "1.2")
    meter = meters.get_meter("shop")
    orders, seconds = meter.create_counter("orders", unit="{order}"), meter.create_histogram("checkout.duration", "s")
    temperature = meter.create_gauge("cpu.temperature", "Cel")
    for number in range(count):
        with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER) as span:
            span.set_attribute("client.address", "203.0.113.9")
            log.warning("order %d is late", number, extra={"user.id": f"u{number}", "weights": [1, 2]})
            if number == 0:
                span.set_status(trace.StatusCode.ERROR, "out of stock")
        orders.add(1, {"shop": str(number)})
        seconds.record(0.25)
    temperature.set(61.5)
    for provider in (loggers, tracers, meters):
        provider.shutdown()  # sends what is left


if __name__ == "__main__":
    logging.basicConfig(filename=Path(sys.argv[2]))  # what the exporters say of their trouble
    main(int(sys.argv[1]))
