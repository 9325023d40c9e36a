// Answers of the reports and of the audit as the contract has them, for tests of what the console makes of them.

/** A text that would be markup if it were treated as such. */
export const HOSTILE = '<img src=x onerror="document.title=\'taken\'">'
export const SESSION = 'ses_AAECAwQFBgcICQoLDA0ODxAR'
/** As a line of a feed writes it. */
export const SHORT = 'ses_AAECAw…DxAR'

const MINUTE = 60_000
const wave = (index, low, high) => Math.round(low + (high - low) * (0.5 + 0.5 * Math.sin(index / 5)) + (index * 7919 % 11) / 11 * (high - low) / 6)

/** The document of each report; `interval` gives the distance of rows. */
export function report(name, interval = 'minute', now = Date.now()) {
  const step = { minute: MINUTE, hour: 60 * MINUTE, day: 1440 * MINUTE }[interval]
  const rows = interval === 'day' ? 30 : interval === 'hour' ? 24 : 60
  const starts = Array.from({ length: rows }, (_, index) => new Date(Math.floor(now / step) * step - (rows - 1 - index) * step).toISOString())
  const answer = (list) => ({ report: name, from: starts[0], to: new Date(now).toISOString(), interval, timeZone: 'UTC', rows: list })
  switch (name) {
    case 'activity': return answer(starts.map((start, i) => ({
      start, created: wave(i, 18, 42), ended: wave(i + 3, 12, 38), refreshed: wave(i, 120, 260), activities: 0,
      activeUsers: wave(i, 310, 520), activeSessions: wave(i, 340, 590), openSessions: 11_800 + wave(i, 0, 900) + i * 9,
    })))
    case 'performance': return answer(['lookup', 'refresh', 'create', 'update', 'introspect', 'delete'].flatMap((operation, k) => starts.map((start, i) => ({
      start, operation, count: wave(i + k, 40, 900 / (k + 1)), p50Millis: 1.2 + k * 0.7 + wave(i, 0, 10) / 20,
      p95Millis: 3.1 + k * 1.9 + wave(i + 4, 0, 30) / 12, p99Millis: 7.5 + k * 4.5 + wave(i + 9, 0, 60) / 6,
    }))))
    case 'geography': return answer([['DE', 4120, 2890], ['AT', 2871, 1990], ['FR', 1720, 1210], ['PL', 986, 700], ['IT', 745, 520], ['US', 512, 401],
      ['', 64, 60]].map(([country, sessions, users]) => ({ country, sessions, users })))
    case 'devices': return answer([['phone', 6120, 4300], ['desktop', 3900, 2700], ['tablet', 720, 610], ['tv', 91, 80]].map(([deviceType, sessions, users]) => ({ deviceType, sessions, users })))
    case 'security-events': return answer([['session.risk_raised', '', 41], ['security.probing', '', 17], ['refresh.replayed', 'reuse', 6], ['session.binding_refused', 'network', 12]]
      .map(([type, reason, count]) => ({ start: starts.at(-1), type, reason, count })))
    case 'alerts': return answer([
      { alertId: 'a1', rule: 'replays', severity: 'critical', state: 'firing', startedAt: new Date(now - 11 * MINUTE).toISOString(), value: 6, threshold: 5, summary: 'Six refresh tokens were replayed within an hour.' },
      { alertId: 'a2', rule: 'latency_p99', severity: 'warning', state: 'firing', startedAt: new Date(now - 4 * MINUTE).toISOString(), value: 412, threshold: 300, summary: 'The p99 of create is above 300 ms.' },
      { alertId: 'a3', rule: 'probing', severity: 'warning', state: 'resolved', startedAt: new Date(now - 190 * MINUTE).toISOString(), resolvedAt: new Date(now - 160 * MINUTE).toISOString(), value: 21, threshold: 10, summary: 'Many requests for what does not exist.' },
    ])
    default: throw new Error(name)
  }
}

/** Events of the audit, newest first. */
export function events(now = Date.now()) {
  const list = [
    [1, 'refresh.replayed', { sessionId: SESSION, actor: 'holder' }],
    [1.02, 'session.ended', { sessionId: SESSION, actor: 'service', reason: 'reuse' }],
    [3, 'session.risk_raised', { sessionId: 'ses_BBECAwQFBgcICQoLDA0ODxAR', actor: 'holder', detail: ['quarantine', 'score=85', 'new_device', 'country_change', 'impossible_travel'] }],
    [5, 'security.probing', { actor: 'service' }],
    [9, 'session.binding_refused', { sessionId: 'ses_CCECAwQFBgcICQoLDA0ODxAR', actor: 'holder', detail: ['network'] }],
    [14, 'device.revoked', { actor: 'application' }],
    [22, 'session.risk_raised', { sessionId: 'ses_DDECAwQFBgcICQoLDA0ODxAR', actor: 'holder', detail: ['step_up', 'score=45', 'fingerprint_drift'] }],
    [31, 'user.revoked', { actor: 'holder' }],
    [38, 'session.created', { sessionId: 'ses_EEECAwQFBgcICQoLDA0ODxAR', actor: 'application', personal: { userId: HOSTILE, deviceName: HOSTILE, place: 'Vienna, AT' } }],
    [47, 'session.risk_shadowed', { sessionId: 'ses_FFECAwQFBgcICQoLDA0ODxAR', actor: 'holder', detail: ['step_up', 'score=40', 'network_change', 'new_device'] }],
  ]
  return list.map(([minutes, type, more], index) => ({
    eventId: `1795490142000-${index}`, at: new Date(now - minutes * MINUTE).toISOString(), recordedAt: new Date(now - minutes * MINUTE + 900).toISOString(),
    type, applicationId: 'demo', subject: 'b000.AAAAAAAA', requestId: `r${index}`, personal: { userId: `user-${1040 + index}` }, chain: { group: index, sequence: index + 1 }, ...more,
  }))
}

/** The events of the session of [`SESSION`], newest first: a token copied from a phone in Vienna and replayed. */
export function storyEvents(now = Date.now()) {
  const personal = { userId: 'user-1040', deviceName: 'Ada’s phone', deviceType: 'phone', client: 'Chrome on Android', place: 'Vienna, AT', network: '203.0.113.0/24' }
  const list = [
    [180, 'session.created', { actor: 'application', personal }],
    [140, 'session.refreshed', { actor: 'holder' }],
    [100, 'session.refreshed', { actor: 'holder' }],
    [60, 'session.refreshed', { actor: 'holder' }],
    [12, 'session.risk_raised', { actor: 'holder', detail: ['step_up', 'score=55', 'fingerprint_drift', 'network_change'] }],
    [1.5, 'refresh.replayed', { actor: 'holder' }],
    [1.5, 'session.ended', { actor: 'service', reason: 'reuse' }],
  ]
  return list.map(([minutes, type, more], index) => ({
    eventId: `1795490000000-${index}`, at: new Date(now - minutes * MINUTE).toISOString(), recordedAt: new Date(now - minutes * MINUTE).toISOString(),
    type, applicationId: 'demo', subject: 'b000.AAAAAAAA', sessionId: SESSION, requestId: `s${index}`, chain: { group: 0, sequence: index + 1 }, ...more,
  })).reverse()
}

/** Answers these endpoints in a page. `instead` maps a path to another answer: `{ status, body, headers }`. */
export async function serve(page, instead = () => undefined) {
  await page.route(/\/(analytics|audit)\//, async (route) => {
    const url = new URL(route.request().url())
    const other = instead(url)
    if (other) return route.fulfill({ status: other.status, headers: other.headers, json: other.body })
    const name = url.pathname.split('/').at(-1)
    if (url.pathname === '/audit/events') {
      const session = url.searchParams.get('sessionId')
      const types = url.searchParams.get('type')?.split(',')
      const found = session ? storyEvents() : events().filter(({ type }) => !types || types.includes(type))
      return route.fulfill({ json: { events: found } })
    }
    if (url.pathname === '/audit/verify') {
      const second = url.searchParams.get('cursor') === 'second'
      const anchor = { signedAt: new Date(Date.now() - 20 * MINUTE).toISOString(), root: 'kq3vY0m8yJrG8Qd1H1yJ3g', events: 48_211 }
      const body = { intact: true, complete: second, checkedEvents: 24_300, checkedChains: 32, ...(second ? { anchor } : { next: 'second' }) }
      return route.fulfill({ json: body })
    }
    return route.fulfill({ json: report(name, url.searchParams.get('interval') ?? 'minute') })
  })
}
