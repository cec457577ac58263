// pino through pino-elasticsearch, which sends with elasticsearch-js.
import { UndiciConnection } from '@elastic/elasticsearch'
import { once } from 'node:events'
import pino from 'pino'
import pinoElasticsearch from 'pino-elasticsearch'
import { ADDRESS, KEY, STREAM, lost, orders } from './orders.mjs'

// pino-elasticsearch does not say which messages it lost, so what was not acknowledged is noted here.
const waiting = new Set()
class Connection extends UndiciConnection {
  async request(params, options) {
    const response = await super.request(params, options)
    if (response.statusCode === 200 && params.body) for (const text of waiting) if (params.body.includes(text)) waiting.delete(text)
    return response
  }
}

const stream = pinoElasticsearch({
  node: ADDRESS,
  auth: KEY ? { apiKey: KEY } : undefined,
  index: STREAM,
  esVersion: 8,
  flushBytes: 5000,
  flushInterval: 100,
  Connection,
})
stream.on('error', (error) => console.error(String(error)))
const ended = Promise.race([once(stream, 'insert'), new Promise((resolve) => stream.on('error', resolve))])

const logger = pino({ base: { 'host.name': 'web-1' } }, stream)
const span = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7' }
await orders((number, text) => {
  waiting.add(text)
  logger.warn({ time: Date.parse('2026-11-25T10:00:00Z'), user: { id: `u${number}` }, ...span }, text)
})
stream.end()
await ended
for (const text of waiting) lost(text)
