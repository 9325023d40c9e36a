// Live sessions and rates, latency by operation, countries and kinds of devices: reports that are asked for again and again.

import { Chart, spark } from './charts.js'
import { fill, find, h, Panel, table } from './dom.js'
import { capital, clock, count, country, millis, moment, rate, share } from './format.js'

/** How a range of the selector is cut into intervals. */
export const RANGES = {
  hour: { label: 'last hour', seconds: 3600, interval: 'minute', step: 60 },
  day: { label: 'last 24 hours', seconds: 86_400, interval: 'hour', step: 3600 },
  week: { label: 'last 7 days', seconds: 7 * 86_400, interval: 'hour', step: 3600 },
  month: { label: 'last 30 days', seconds: 30 * 86_400, interval: 'day', step: 0 },
}

const EACH = { minute: 'per minute', hour: 'per hour', day: 'per day' }
const RATE_MINUTES = 5

/** The parameters of a report over a range that ends now. */
export function over(range, interval = range.interval) {
  const now = Date.now()
  return {
    from: new Date(now - range.seconds * 1000).toISOString(),
    to: new Date(now).toISOString(),
    interval,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC',
  }
}

/** Rows in order of time. Where intervals are missing nothing happened: counts are zero there and levels stay. */
export function complete(rows, step, levels = []) {
  const sorted = rows.map((row) => ({ ...row, at: Date.parse(row.start) / 1000 })).sort((a, b) => a.at - b.at)
  const filled = []
  for (const row of sorted) {
    const before = filled.at(-1)
    for (let at = before && step > 0 ? before.at + step : row.at; at < row.at && filled.length < 3000; at += step) {
      const empty = Object.fromEntries(Object.keys(row).filter((key) => typeof row[key] === 'number').map((key) => [key, 0]))
      filled.push({ ...empty, ...Object.fromEntries(levels.map((key) => [key, before[key]])), at })
    }
    filled.push(row)
  }
  return filled
}

const stampOf = (range) => (when, short) => {
  if (range.interval === 'minute') return clock(when).slice(0, 5)
  const text = moment(when)
  return range.interval === 'hour' && range.seconds <= 86_400 ? clock(when).slice(0, 5)
    : short ? text.split(' ').slice(0, 2).join(' ') : text.slice(0, -3)
}

/** The tiles and the chart of open sessions. */
export class Live {
  constructor() {
    this.panel = new Panel('live')
    this.firing = undefined
  }

  async load(api, range) {
    const report = (chosen) => api.get('/analytics/activity', over(chosen))
    const live = await report(RANGES.hour)
    const ranged = range === RANGES.hour ? live : await report(range)
    this.rows = complete(live.rows, 60, ['openSessions', 'activeUsers'])
    this.tiles()
    this.draw(complete(ranged.rows, range.step, ['openSessions', 'activeUsers']), range)
  }

  tiles() {
    const rows = this.rows ?? []
    // The minute that is under way is not counted yet, nor are those without a row.
    const minute = Math.floor(Date.now() / 60_000) * 60
    const full = rows.filter((row) => row.at < minute)
    const recent = full.filter((row) => row.at >= minute - RATE_MINUTES * 60)
    const mean = (key) => recent.reduce((sum, row) => sum + (row[key] ?? 0), 0) / RATE_MINUTES
    const known = rows.length > 0
    const last = rows.at(-1) ?? {}
    const tile = (label, value, unit, key, look, kind = '') => {
      const item = h('li', { class: `tile ${kind}` }, h('span', { class: 'label' }, label),
        h('strong', {}, value, unit && h('small', {}, ` ${unit}`)))
      if (key && known) item.append(spark(Math.max(80, (find('tiles').clientWidth - 60) / 6 - 24), 26, full.map((row) => row.at), full.map((row) => row[key] ?? 0), look))
      return item
    }
    const per = (key) => known ? rate(mean(key)) : '–'
    const alerts = this.firing
    find('tiles').replaceChildren(
      tile('Open sessions', count(last.openSessions), '', 'openSessions', { level: true }),
      tile('Active users', count(full.at(-1)?.activeUsers), 'in a minute', 'activeUsers', { level: true }),
      tile('Begun', per('created'), 'per minute', 'created', { tone: '--series-3' }),
      tile('Refreshed', per('refreshed'), 'per minute', 'refreshed', { tone: '--series-3' }),
      tile('Ended', per('ended'), 'per minute', 'ended', { tone: '--series-2' }),
      tile('Alerts', alerts === undefined ? '–' : count(alerts.length), alerts?.length ? 'firing' : '', undefined, undefined,
        alerts?.some(({ severity }) => severity === 'critical') ? 'bad' : alerts?.length ? 'warn' : ''),
    )
  }

  draw(rows, range) {
    find('live-about').textContent = range.label
    if (rows.length === 0) return this.panel.show(h('p', { class: 'muted' }, 'Nothing has happened in this time.'))
    if (this.range !== range) {
      this.range = range
      const stamp = stampOf(range)
      this.open = new Chart('Open sessions', ['Open sessions'], { height: 180, level: true, write: count, stamp })
      this.flow = new Chart(`Sessions ${EACH[range.interval]}`, ['Begun', 'Ended', 'Refreshed'], { height: 180, write: count, stamp })
      this.panel.body.replaceChildren(h('div', { class: 'twin' },
        h('div', {}, h('h3', {}, 'Open at the end of each interval'), this.open.element),
        h('div', {}, h('h3', {}, `Begun, ended, refreshed ${EACH[range.interval]}`), this.flow.element)))
    }
    this.panel.calm()
    const column = (key) => rows.map((row) => row[key] ?? null)
    const times = rows.map((row) => row.at)
    this.open.update(times, column('openSessions'))
    this.flow.update(times, column('created'), column('ended'), column('refreshed'))
  }
}

/** Percentiles by operation: the latest interval as a table, one operation over time as a chart. */
export class Latency {
  constructor() {
    this.panel = new Panel('latency')
    this.chosen = undefined
    find('operation').addEventListener('change', ({ target }) => {
      this.chosen = target.value
      this.draw()
    })
  }

  async load(api, range) {
    const { rows } = await api.get('/analytics/performance', over(range))
    const operations = new Map()
    for (const row of rows) operations.set(row.operation, [...operations.get(row.operation) ?? [], row])
    this.operations = [...operations].map(([name, list]) => ({ name, rows: complete(list, 0), total: list.reduce((sum, row) => sum + row.count, 0) }))
      .sort((a, b) => b.total - a.total)
    this.range = range
    this.draw()
  }

  draw() {
    const select = find('operation')
    const { operations, range } = this
    find('latency-about').textContent = range.label
    select.hidden = operations.length === 0
    if (operations.length === 0) {
      this.drawn = undefined
      return this.panel.show(h('p', { class: 'muted' }, 'No operation was measured in this time.'))
    }
    const chosen = operations.find(({ name }) => name === this.chosen) ?? operations[0]
    fill(select, operations.map(({ name }) => h('option', { value: name }, capital(name))))
    select.value = chosen.name
    if (this.drawn !== `${chosen.name} ${range.interval} ${range.seconds}`) {
      this.drawn = `${chosen.name} ${range.interval} ${range.seconds}`
      this.chart = new Chart(`Latency of ${chosen.name}`, ['p50', 'p95', 'p99'], { height: 170, write: millis, stamp: stampOf(range) })
      this.figures = h('div', {})
      this.panel.body.replaceChildren(this.chart.element, this.figures)
    }
    this.panel.calm()
    const column = (key) => chosen.rows.map((row) => row[key])
    this.chart.update(chosen.rows.map((row) => row.at), column('p50Millis'), column('p95Millis'), column('p99Millis'))
    const columns = [['Operation', ''], ['Count', 'number'], ['p50', 'number'], ['p95', 'number'], ['p99', 'number']]
    fill(this.figures, table('Latency by operation in the latest interval', columns, operations.map(({ name, rows, total }) => {
      const last = rows.at(-1)
      return [capital(name), count(total), millis(last.p50Millis), millis(last.p95Millis), millis(last.p99Millis)]
    })), h('p', { class: 'muted' }, `Percentiles are those of the latest interval of an operation; counts are of the ${range.label}.`))
  }
}

const SHOWN = 10

/** A ranking with bars. */
function ranking(caption, first, rows, name) {
  const total = rows.reduce((sum, row) => sum + row.sessions, 0)
  const sorted = [...rows].sort((a, b) => b.sessions - a.sessions)
  const largest = sorted[0]?.sessions || 1
  const columns = [[first, ''], ['(Part of all)', 'meter'], ['Sessions', 'number'], ['Users', 'number'], ['Share', 'number']]
  const shown = sorted.slice(0, SHOWN).map((row) => [name(row),
    h('progress', { class: 'meter-bar', max: largest, value: row.sessions, 'aria-hidden': 'true', 'aria-label': name(row) }),
    count(row.sessions), count(row.users), share(row.sessions, total)])
  const rest = sorted.length > SHOWN && h('p', { class: 'muted' }, `and ${sorted.length - SHOWN} more`)
  return h('div', {}, table(caption, columns, shown, { class: 'rank' }), rest)
}

/** Countries and kinds of devices by sessions. */
export class Places {
  constructor() {
    this.panel = new Panel('places')
  }

  async load(api, range) {
    const asked = ['geography', 'devices'].map((name) => api.get(`/analytics/${name}`, over(range, range.interval === 'minute' ? 'hour' : 'day')))
    const [places, devices] = await Promise.all(asked)
    const byCountry = merged(places.rows, 'country')
    const byDevice = merged(devices.rows, 'deviceType')
    if (byCountry.length + byDevice.length === 0) {
      return this.panel.show(h('p', { class: 'muted' }, 'No session began in this time.'))
    }
    this.panel.show(h('div', { class: 'stack' },
      ranking(`Sessions by country, ${range.label}`, 'Country', byCountry, (row) => country(row.country)),
      ranking(`Sessions by kind of device, ${range.label}`, 'Device', byDevice, (row) => row.deviceType ? capital(row.deviceType) : 'Unknown')))
  }
}

/** One row per key. */
function merged(rows, key) {
  const found = new Map()
  for (const row of rows) {
    const held = found.get(row[key])
    if (held) Object.assign(held, { sessions: held.sessions + row.sessions, users: held.users + row.users })
    else found.set(row[key], { ...row })
  }
  return [...found.values()]
}
