// Numbers and times as people read them.

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 })
const places = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'code' })
const clockFormat = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dayFormat = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit',
})

/** `120K` from a hundred thousand on, exact below. */
export const count = (value) => value === undefined || value === null ? '–'
  : Math.abs(value) < 100_000 ? plain.format(value) : compact.format(value)

/** Any figure with as many digits as count. */
export const figure = (value) => significant.format(value)

/** A rate: one decimal while it is small. */
export const rate = (value) => value >= 100 || Number.isInteger(value) ? count(Math.round(value)) : value.toFixed(1)

/** Milliseconds with three digits that count. */
export const millis = (value) => value === undefined || value === null ? '–'
  : value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : value >= 100 ? `${Math.round(value)} ms` : `${Number(value.toPrecision(2))} ms`

export const share = (part, whole) => whole === 0 ? '–' : `${(100 * part / whole).toFixed(part / whole < 0.1 ? 1 : 0)} %`

/** A country by its code; what is no code stays as it is. */
export function country(code) {
  if (!/^[A-Z]{2}$/.test(code ?? '')) return code && code !== '' ? capital(code) : 'Unknown'
  return places.of(code)
}

export const capital = (word) => word === 'tv' ? 'TV' : word.charAt(0).toUpperCase() + word.slice(1).replaceAll('_', ' ')

export const clock = (when) => clockFormat.format(new Date(when))
export const moment = (when) => dayFormat.format(new Date(when)).replace(',', '')

/** How long, in the two largest units. */
export function duration(millis) {
  let rest = Math.max(0, Math.round(millis / 1000))
  const parts = []
  for (const [unit, seconds] of [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]]) {
    const whole = Math.floor(rest / seconds)
    rest -= whole * seconds
    if (whole > 0) parts.push(`${whole} ${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0 s'
}

export function ago(when, now = Date.now()) {
  const past = now - new Date(when).getTime()
  if (past < 0) return `in ${duration(-past)}`
  if (past < 5000) return 'just now'
  return past < 86_400_000 ? `${duration(past).split(' ').slice(0, 2).join(' ')} ago` : moment(when)
}

/** A time element: how long ago, and exactly when under the pointer and for machines. */
export function timeOf(when, text = ago(when)) {
  const element = document.createElement('time')
  element.dateTime = when
  element.title = `${moment(when)} (${new Date(when).toISOString()})`
  element.textContent = text
  return element
}

/** A session id that fits into a line. */
export const shortId = (id) => id.length > 18 ? `${id.slice(0, 10)}…${id.slice(-4)}` : id
