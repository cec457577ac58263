// OpenTelemetry's SDK with the exporter for JSON or protobuf.
import { ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { SeverityNumber } from '@opentelemetry/api-logs'
import { OTLPLogExporter as JsonExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtobufExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import { ADDRESS, FORMAT, KEY, STREAM, lost, orders } from './orders.mjs'

const Exporter = { json: JsonExporter, protobuf: ProtobufExporter }[FORMAT]
const exporter = new Exporter({
  url: `${ADDRESS}/v1/logs`,
  headers: KEY ? { Authorization: `Bearer ${KEY}` } : {},
  compression: 'gzip',
  timeoutMillis: 25_000,
})
const send = exporter.export.bind(exporter)
exporter.export = (records, done) =>
  send(records, (result) => {
    if (result.code !== 0) records.forEach((record) => lost(record.body))
    done(result)
  })

const provider = new LoggerProvider({
  resource: resourceFromAttributes({ 'service.name': STREAM, 'host.name': 'web-1' }),
  processors: [new BatchLogRecordProcessor({ exporter, scheduledDelayMillis: 100, maxExportBatchSize: 100 })],
})
const logger = provider.getLogger('checkout', '1.2')
const context = trace.setSpanContext(ROOT_CONTEXT, {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: 1,
})
await orders((number, body) =>
  logger.emit({
    body,
    context,
    timestamp: new Date('2026-11-25T10:00:00Z'),
    severityNumber: SeverityNumber.WARN,
    severityText: 'WARN',
    attributes: { 'user.id': `u${number}` },
  }),
)
await provider.shutdown()
