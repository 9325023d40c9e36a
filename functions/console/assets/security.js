// The feed of security events, newest first, and how many there were.

import { fill, find, h, Panel } from './dom.js'
import { count, shortId, timeOf } from './format.js'
import { over } from './monitor.js'
import { actor, KINDS, sentence, weight } from './words.js'

const LINES = 60

/** One event as a line of a feed. */
export function line(event, openSession) {
  const [tone, word] = weight(event)
  const who = event.personal?.userId
  return h('li', {},
    timeOf(event.at),
    h('span', {}, tone && h('span', { class: `tag ${tone}` }, word), tone && ' ', sentence(event),
      h('span', { class: 'muted' }, ` ${who ? `User ${who}, by ` : 'By '}${actor(event)}.`)),
    event.sessionId ? h('button', {
      type: 'button', class: 'link mono', title: event.sessionId, 'aria-label': `Story of session ${shortId(event.sessionId)}`, onclick: () => openSession(event.sessionId),
    }, shortId(event.sessionId)) : h('span', {}))
}

export class Security {
  constructor(openSession, again) {
    this.panel = new Panel('security')
    this.openSession = openSession
    const select = find('security-kind')
    select.append(...Object.entries(KINDS).map(([value, [label]]) => h('option', { value }, label)))
    select.addEventListener('change', again)
    this.counts = h('div', { class: 'counts' })
    this.feed = h('ol', { class: 'feed', tabindex: '0', 'aria-label': 'Security events, newest first' })
    this.panel.body.append(this.counts, this.feed)
  }

  async load(api, range) {
    const [, types] = KINDS[find('security-kind').value]
    const events = api.get('/audit/events', { type: types.join(','), limit: LINES })
    // The feed comes first: counts may be out of reach without taking it away.
    const counted = api.get('/analytics/security-events', over(range)).catch(() => undefined)
    const { events: found } = await events
    this.panel.calm()
    fill(this.feed, found.map((event) => line(event, this.openSession)))
    if (found.length === 0) fill(this.feed, h('li', {}, h('span', { class: 'muted' }, 'None.')))
    const totals = new Map()
    for (const row of (await counted)?.rows ?? []) totals.set(row.type, (totals.get(row.type) ?? 0) + row.count)
    fill(this.counts, [...totals].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([type, total]) =>
      h('span', { class: 'tag' }, `${type.replaceAll(/[._]/g, ' ')}  ${count(total)}`)))
  }
}
