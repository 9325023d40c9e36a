// The audit: is it whole, and what does it say.

import { explain } from './api.js'
import { announce, fill, find, h, Panel, button } from './dom.js'
import { count, moment } from './format.js'
import { line } from './security.js'

const KINDS = {
  edited: 'was edited',
  deleted: 'was deleted',
  reordered: 'is out of order',
  inserted: 'was inserted',
  tail_cut: 'is the first of those that were cut off at the end',
  anchor_mismatch: 'differs from the signed anchor',
  removed_early: 'is gone before retention may remove it',
}
const PAGE = 50

export class Audit {
  constructor(context) {
    this.context = context
    this.panel = new Panel('audit')
    this.verdict = h('div', { role: 'status' })
    this.trail = h('ol', { class: 'feed', tabindex: '0', 'aria-label': 'Events of the audit, newest first' })
    this.more = button('Earlier events', () => this.page(), { class: 'small', hidden: true })
    this.panel.body.append(h('div', { class: 'stack' }, this.verdict, this.trail), h('div', { class: 'later' }, this.more))
    find('verify').addEventListener('click', () => this.verify())
    this.clear()
  }

  clear() {
    fill(this.verdict, h('p', { class: 'muted' }, 'Every event is chained to the one before it. Verifying reads all of them.'))
    fill(this.trail)
    this.next = undefined
  }

  /** The newest events; a later page is left as it is. */
  async load(api) {
    if (this.paged) return
    const { events, next } = await api.get('/audit/events', { limit: PAGE })
    this.panel.calm()
    this.next = next
    this.more.hidden = !next
    fill(this.trail, events.map((event) => line(event, this.context.openSession)))
  }

  async page() {
    try {
      const { events, next } = await this.context.api.get('/audit/events', { limit: PAGE, cursor: this.next })
      this.paged = true
      this.next = next
      this.more.hidden = !next
      this.trail.append(...events.map((event) => line(event, this.context.openSession)))
      announce(`${events.length} earlier events`)
    } catch (failure) {
      this.panel.trouble(explain(failure), { tone: 'warn' })
    }
  }

  /** Follows `next` until the last chain. */
  async verify() {
    const { api } = this.context
    const verify = find('verify')
    if (verify.disabled) return
    verify.disabled = true
    const sum = { events: 0, chains: 0 }
    const say = (tone, ...parts) => fill(this.verdict, h('div', { class: `note ${tone}` }, parts))
    try {
      let cursor
      for (;;) {
        say('', `Verifying: ${count(sum.events)} events in ${count(sum.chains)} chains so far …`)
        const answer = await api.get('/audit/verify', { cursor })
        sum.events += answer.checkedEvents
        sum.chains += answer.checkedChains
        if (!answer.intact) return say('bad', this.broken(answer.firstBad))
        if (!answer.next) return say('good', ...this.whole(sum, answer))
        cursor = answer.next
      }
    } catch (failure) {
      if (!api.forgotten) say('warn', `Not verified: ${explain(failure)}`)
    } finally {
      verify.disabled = false
    }
  }

  whole(sum, { anchor }) {
    return [
      h('strong', {}, 'The audit is whole.'),
      ` ${count(sum.events)} events in ${count(sum.chains)} chains were checked; none was changed, removed or added.`,
      anchor && h('p', {}, `The anchor signed at ${moment(anchor.signedAt)} covers ${count(anchor.events)} events. `, h('code', {}, anchor.root)),
    ]
  }

  broken({ chain, sequence, kind, eventId } = {}) {
    return [
      h('strong', {}, 'The audit was tampered with.'),
      ` Event ${sequence} of chain ${chain} ${KINDS[kind] ?? kind}.`,
      eventId && h('p', {}, h('code', {}, eventId)),
    ]
  }
}
