// bitfinex-api-node: raw updates into a Map, or (managed) its own order book, which verifies checksums; trades into a CSV.
// Not both checks at once: with sequence numbers on, its enableFlag waits for an answer that it does not recognise.
const fs = require('fs')
const BFX = require('bitfinex-api-node')

const work = JSON.parse(process.argv[2])
const seen = { updates: 0, checksums: 0, mismatches: 0, arrived: [] }
const trades = work.channel === 'trades'
const ws = new BFX().ws(2, { url: work.ws_url, seqAudit: !work.managed, manageOrderBooks: work.managed, transform: false })
const file = trades ? fs.createWriteStream(work.file) : null

ws.on('error', () => { seen.mismatches += 1 })
ws.on('cs', (symbol) => { seen.checksums += typeof symbol === 'string' }) // told twice: as it came, and verified
ws.on('open', async () => {
  if (work.managed) await ws.enableFlag(BFX.WSv2.flags.CHECKSUM)
  for (const symbol of work.symbols) {
    if (trades) {
      ws.onTradeEntry({ symbol }, (trade) => {
        file.write(`${trade[1]},${trade[0]},${trade[2]},${trade[3]}\n`)
      })
      await ws.subscribeTrades(symbol)
      continue
    }
    const book = new Map()
    let started = false // by the snapshot
    ws.onOrderBook({ symbol }, (row) => {
      seen.updates += started
      started = true
      if (work.managed || Array.isArray(row[0])) return
      if (row[1] === 0) book.delete(row[0])
      else book.set(row[0], row)
    })
    await ws.subscribeOrderBook(symbol, work.precision, String(work.levels))
  }
})
process.on('SIGTERM', () => {
  const end = () => { process.stdout.write(JSON.stringify(seen) + '\n', () => process.exit(0)) }
  if (file) file.end(end)
  else end()
})
ws.open()
