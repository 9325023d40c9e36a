// One session, explained from its events: whether it lives, why it ended, what spoke against it, and what came before.

import { h, table } from './dom.js'
import { ago, duration, moment, timeOf } from './format.js'
import { actor, ending, judgement, list, sentence, signal, weight } from './words.js'

const PAGE = 200
const PAGES_MAX = 10
/** More refreshes in a row than this are one step. */
const QUIET = new Set(['session.refreshed', 'session.updated'])

/** Every event of a session, oldest first. */
export async function eventsOf(api, sessionId) {
  const found = []
  let cursor
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { events, next } = await api.get('/audit/events', { sessionId, limit: PAGE, cursor })
    found.push(...events)
    if (!next) break
    cursor = next
  }
  return found.reverse()
}

/** What the events say: a headline, reasons, and steps. */
export function tell(events) {
  const begun = events.find(({ type }) => type === 'session.created')
  const end = events.findLast(({ type }) => type === 'session.ended')
  const last = events.at(-1)
  const why = []
  const replay = events.findLast(({ type }) => type === 'refresh.replayed')
  const risky = events.filter(({ type }) => type === 'session.risk_raised')
  const judged = risky.at(-1) && judgement(risky.at(-1).detail)
  const stepped = events.findLast(({ type }) => type === 'session.stepped_up')
  let headline
  let tone = 'good'
  if (end) {
    const lived = begun && `, after ${duration(Date.parse(end.at) - Date.parse(begun.at))}`
    headline = `This session ended ${ago(end.at)}${lived ?? ''}: ${ending(end.reason)}.`
    tone = weight(end)[0] || 'ended'
    if (end.reason === 'reuse' && replay) why.push(`The replay was seen at ${moment(replay.at)}. Every token of the session is worthless since then, the thief’s and the victim’s.`)
    if (end.actor !== 'service') why.push(`It was asked for by ${actor(end)}.`)
  } else if (events.length === 0) {
    headline = 'The audit knows nothing of this session.'
    tone = 'ended'
  } else {
    const held = judged?.verdict === 'quarantine' && !(stepped && stepped.at > risky.at(-1).at)
    headline = held
      ? `This session is quarantined since ${moment(risky.at(-1).at)}: its holder is refused until they authenticate again.`
      : `This session has not ended. It was last heard of ${ago(last.at)}.`
    tone = held ? 'warn' : 'good'
  }
  if (judged?.signals.length > 0) {
    const score = judged.score === undefined ? '' : ` with a score of ${judged.score} of 100`
    why.push(`It was last judged risky at ${moment(risky.at(-1).at)}${score}: ${list(judged.signals.map(signal))}.`)
  }
  const refused = events.filter(({ type }) => type === 'session.binding_refused').length
  if (refused > 0) why.push(`${refused} ${refused === 1 ? 'request was' : 'requests were'} refused because of the network ${refused === 1 ? 'it' : 'they'} came from.`)
  return { headline, tone, why, steps: steps(events), begun, end }
}

/** Events with quiet repetitions drawn together. */
function steps(events) {
  const found = []
  for (const event of events) {
    const before = found.at(-1)
    if (before && QUIET.has(event.type) && before.event.type === event.type) {
      before.times += 1
      before.until = event.at
    } else {
      found.push({ event, times: 1, until: event.at })
    }
  }
  return found
}

/** The story as elements. */
export function render(sessionId, events) {
  const { headline, tone, why, steps: told, begun } = tell(events)
  const known = events.findLast(({ personal }) => personal?.userId)?.personal
  const first = begun?.personal ?? {}
  const facts = [
    ['Session', h('code', {}, sessionId)],
    ['User', known?.userId ?? (events.some(({ erased }) => erased) ? 'erased' : events[0]?.subject)],
    ['Began', begun && moment(begun.at)],
    ['With', [first.deviceName, first.deviceType, first.client].filter(Boolean).join(', ')],
    ['From', [first.place ?? first.country, first.network].filter(Boolean).join(', ')],
  ].filter(([, value]) => value)
  return h('div', { class: 'story', role: 'group', 'aria-label': 'The story of the session' },
    h('h3', {}, headline),
    tone === 'bad' && h('p', {}, h('span', { class: 'tag bad' }, 'security')),
    why.length > 0 && h('ul', { class: 'why' }, why.map((text) => h('li', {}, text))),
    h('dl', { class: 'facts' }, facts.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    told.length > 0 && h('ol', { class: 'steps' }, told.map(({ event, times, until }) => h('li', { class: weight(event)[0] },
      timeOf(event.at, moment(event.at)),
      h('span', {}, sentence(event), times > 1 && ` ${times} times in a row, until ${moment(until)}.`,
        h('span', { class: 'muted' }, ` By ${actor(event)}.`))))))
}

/** A table of live sessions; `actions` makes the buttons of a row. */
export function sessionTable(sessions, actions) {
  const columns = [['Device', ''], ['Place', ''], ['Began', ''], ['Last active', ''], ['Ends at the latest', ''], ['Standing', ''], ['(Actions)', 'number']]
  return table('Live sessions', columns, sessions.map((session) => [
    h('span', {}, session.device?.name ?? session.device?.type ?? 'Unnamed', session.current && [' ', h('span', { class: 'tag good' }, 'this one')]),
    session.place ?? session.client?.addressPrefix ?? '–',
    timeOf(session.createdAt),
    timeOf(session.lastActivityAt),
    timeOf(session.absoluteExpiresAt, moment(session.absoluteExpiresAt)),
    standing(session.risk),
    h('span', {}, actions(session)),
  ]))
}

function standing(risk) {
  if (!risk || risk.standing === 'good') return h('span', { class: 'tag good' }, 'good')
  const title = list((risk.reasons ?? []).map((name) => signal(name) ?? name))
  return h('span', { class: `tag ${risk.standing === 'quarantined' ? 'bad' : 'warn'}`, title }, risk.standing.replace('_', '-'))
}
