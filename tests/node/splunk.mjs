// Splunk's own logger for JavaScript.
import { promisify } from 'node:util'
import { Logger } from 'splunk-logging'
import { ADDRESS, KEY, STREAM, lost, orders } from './orders.mjs'

const logger = new Logger({ url: ADDRESS, token: KEY ?? 'any', maxBatchCount: 10, maxRetries: 10 })
logger.error = (error, context) => lost(context.message)
const metadata = { time: 1795600800, host: 'web-1', source: 'checkout.js', sourcetype: STREAM }
await orders((number, text) => logger.send({ message: { msg: text, user: `u${number}` }, severity: 'warn', metadata }))
if (logger.serializedContextQueue.length > 0) await promisify(logger.flush)()
