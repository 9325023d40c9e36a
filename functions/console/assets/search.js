// A user's sessions and devices, or one session's story, with remote logout.

import { explain, Failure, segment } from './api.js'
import { announce, button, confirmed, fill, find, h, Panel, table } from './dom.js'
import { capital, shortId, timeOf } from './format.js'
import { eventsOf, render, sessionTable } from './story.js'

const PAGES_MAX = 10
const TRUST = { blocked: 'bad', new: '', known: 'good', trusted: 'good' }

export class Search {
  constructor(context) {
    this.context = context
    this.panel = new Panel('search')
    this.results = find('results')
    this.input = find('find-text')
    find('find').addEventListener('submit', (submitted) => {
      submitted.preventDefault()
      this.open(this.input.value.trim())
    })
    find('find').addEventListener('reset', () => fill(this.results))
  }

  /** Opens what a text names. The section comes into view and takes the focus. */
  async open(text) {
    if (text === '') return
    this.input.value = text
    this.asked = text
    find('search').scrollIntoView({ block: 'start' })
    fill(this.results, h('p', { class: 'muted' }, 'Looking …'))
    const found = text.startsWith('ses_') ? await this.session(text) : await this.user(text)
    if (this.asked !== text || this.context.api?.forgotten !== false) return
    fill(this.results, found)
    const title = this.results.querySelector('h3')
    title?.setAttribute('tabindex', '-1')
    title?.focus({ preventScroll: true })
  }

  /** Each part of the answer stands for itself. */
  async part(work) {
    try {
      return await work()
    } catch (failure) {
      return h('p', { class: `note ${failure instanceof Failure && [403, 404].includes(failure.status) ? '' : 'warn'}` }, explain(failure))
    }
  }

  /** Does something and shows what is left. */
  async act(question, path, done) {
    if (!await confirmed(question)) return
    try {
      const { status } = await this.context.api.send('DELETE', path)
      announce(status === 202 ? `${done} The store is away: it is in force as soon as it is back.` : done)
    } catch (failure) {
      announce(explain(failure))
      this.panel.trouble(explain(failure), { tone: 'bad' })
      return
    }
    this.panel.calm()
    await this.open(this.asked)
  }

  // The session itself is not read: that would count as its use, and show its data to an operator.
  async session(id) {
    const { api } = this.context
    const story = await this.part(async () => render(id, await eventsOf(api, id)))
    return h('section', { 'aria-label': `Session ${id}` },
      h('div', { class: 'row' }, h('h3', {}, 'Session ', h('code', {}, shortId(id))), h('span', { class: 'grow' }),
        button('End this session', () => this.act({
          title: 'End this session?',
          text: 'Its tokens stop working at once, on every device that holds them.',
          action: 'End session',
        }, `/sessions/${segment(id)}`, 'The session is over.'), { class: 'danger small' })),
      story)
  }

  async user(id) {
    const { api } = this.context
    const path = `/sessions/user/${segment(id)}`
    const [sessions, devices] = await Promise.all([
      this.part(async () => this.sessions(id, await this.all(path))),
      this.part(async () => this.devices(id, (await api.get(`/users/${segment(id)}/devices`)).devices)),
    ])
    return [
      h('section', { 'aria-label': 'Sessions of the user' },
        h('div', { class: 'row' }, h('h3', {}, 'Sessions of ', h('code', {}, id)), h('span', { class: 'grow' }),
          button('Log out everywhere', () => this.act({
            title: 'Log the user out everywhere?',
            text: 'All sessions of the user end at once, in every application that shares the user. The user has to sign in again.',
            action: 'Log out everywhere',
          }, path, 'All sessions of the user are over.'), { class: 'danger small' })),
        sessions),
      h('section', { 'aria-label': 'Devices of the user' }, h('div', { class: 'row' }, h('h3', {}, 'Devices of ', h('code', {}, id))), devices),
    ]
  }

  async all(path) {
    const found = []
    let cursor
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { sessions, nextCursor } = await this.context.api.get(path, { limit: 100, cursor })
      found.push(...sessions)
      if (!nextCursor) break
      cursor = nextCursor
    }
    return found
  }

  sessions(_, sessions) {
    if (sessions.length === 0) return h('p', { class: 'muted' }, 'No live session with this application.')
    return sessionTable(sessions, (session) => [
      h('button', { type: 'button', class: 'small', 'aria-label': `Story of session ${shortId(session.sessionId)}`, onclick: () => this.open(session.sessionId) }, 'Story'), ' ',
      button('End', () => this.act({
        title: 'End this session?',
        text: `${session.device?.name ?? session.device?.type ?? 'The device'} is signed out at once.`,
        action: 'End session',
      }, `/sessions/${segment(session.sessionId)}`, 'The session is over.'), { class: 'danger small', 'aria-label': `End session ${shortId(session.sessionId)}` }),
    ])
  }

  devices(user, devices) {
    if (devices.length === 0) return h('p', { class: 'muted' }, 'No registered device.')
    const columns = [['Device', ''], ['Kind', ''], ['Trust', ''], ['Client', ''], ['Place', ''], ['First seen', ''], ['Last seen', ''], ['(Actions)', 'number']]
    return table('Devices', columns, devices.map((device) => {
      const name = device.name ?? device.deviceId
      return [name, device.type ? capital(device.type) : '–', h('span', { class: `tag ${TRUST[device.trust]}` }, device.trust), device.client ?? '–',
        device.place ?? '–', timeOf(device.firstSeenAt), timeOf(device.lastSeenAt),
        button('Log out', () => this.act({
          title: `Log out ${name} for good?`,
          text: 'Every session on the device ends, whatever application began it, and the device is forgotten.',
          action: 'Log out device',
        }, `/users/${segment(user)}/devices/${segment(device.deviceId)}`, `${name} is logged out.`), { class: 'danger small', 'aria-label': `Log out ${name}` })]
    }))
  }
}
