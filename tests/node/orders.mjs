// What every client here sends: messages told apart by their numbers, at the pace its environment says.
import { setTimeout as sleep } from 'node:timers/promises'

export const { ADDRESS, FORMAT, KEY, STREAM } = process.env

let sent = 0

/** Hand orders to `send`, with a pause after each ten: `COUNT` of them, and more until the input of this program is closed. */
export async function orders(send) {
  process.stdin.resume()
  while (sent < Number(process.env.COUNT) || !process.stdin.readableEnded) {
    send(sent, `order number o${sent}x declined`)
    sent += 1
    if (sent % 10 === 0) await sleep(Number(process.env.PAUSE_MS))
  }
}

const failed = new Set()

/** Note what the client itself says it could not send. */
export function lost(text) {
  for (const [, number] of text.matchAll(/order number o(\d+)x/g)) failed.add(Number(number))
}

process.on('exit', () => console.log(JSON.stringify({ sent, lost: [...failed] })))
