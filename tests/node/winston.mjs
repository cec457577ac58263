// winston through winston-loki, in JSON or protobuf.
import winston from 'winston'
import LokiTransport from 'winston-loki'
import { ADDRESS, FORMAT, KEY, STREAM, orders } from './orders.mjs'

const transport = new LokiTransport({
  host: ADDRESS,
  basicAuth: KEY ? `any:${KEY}` : undefined,
  labels: { app: STREAM, host: 'web-1' },
  json: FORMAT === 'json',
  interval: 0.1,
  format: winston.format.printf(({ message }) => message),
  onConnectionError: (error) => console.error(String(error)),
})
const logger = winston.createLogger({ transports: [transport] })
const span = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7' }
await orders((number, text) => logger.warn(text, { user_id: `u${number}`, ...span }))
await transport.close()
