// What a person may decide and ask for: settings, a copy of their data, erasure.

import { explain, segment } from './api.js'
import { announce, button, confirmed, download, fill, find, h, Panel } from './dom.js'
import { capital, count, moment } from './format.js'

/** The switches, in the words of whoever they are about. */
export const FLAGS = [
  ['activityTracking', 'Activity tracking', 'Actions that the application reports are kept.'],
  ['location', 'Location', 'Country and place of requests are kept.'],
  ['fingerprinting', 'Fingerprinting', 'Devices are told apart by fingerprints as well.'],
  ['sharing', 'Sharing', 'Related applications may share sessions.'],
]
const HOLD = ['legalHold', 'Legal hold', 'Nothing of this user may be erased.']
const EXPORT_PAGES_MAX = 1000
const ERASURE_ROUNDS_MAX = 120
const ERASURE_PAUSE_MILLIS = 1500

/** The settings of a user as switches. `save` gets the settings and the entity tag that they were read under. */
export function switches(flags, settings, change) {
  return flags.map(([name, label, about]) => {
    const input = h('input', { type: 'checkbox', role: 'switch', id: `flag-${name}`, 'aria-describedby': `about-${name}`, checked: settings[name] === true })
    input.addEventListener('change', () => change(name, input.checked, input))
    return h('div', { class: 'switch' }, input, h('div', {}, h('label', { for: `flag-${name}` }, label), h('p', { id: `about-${name}` }, about)))
  })
}

/** What a change sends: the flags alone, for the version that was seen. */
export function replacement(settings, flags) {
  const body = Object.fromEntries(flags.map(([name]) => [name, settings[name] === true]))
  return { body, headers: settings.version === undefined ? {} : { 'if-match': `"${settings.version}"` } }
}

export class Privacy {
  constructor(context) {
    this.context = context
    this.panel = new Panel('privacy')
    this.file = find('person-file')
    find('person').addEventListener('submit', (submitted) => {
      submitted.preventDefault()
      this.open(find('person-id').value.trim())
    })
  }

  clear() {
    find('person').reset()
    fill(this.file)
    this.panel.calm()
  }

  async open(user) {
    if (user === '') return
    const { api } = this.context
    this.user = user
    this.panel.calm()
    fill(this.file, h('p', { class: 'muted' }, 'Looking …'))
    let settings
    try {
      settings = await api.get(`/users/${segment(user)}/privacy`)
    } catch (failure) {
      if (api.forgotten) return
      fill(this.file)
      return this.panel.trouble(explain(failure), { tone: 'warn' })
    }
    this.outcome = h('div', { role: 'status' })
    fill(this.file)
    this.file.append(
      h('div', { class: 'stack' }, h('h3', {}, 'Settings of ', h('code', {}, user)), this.settings(settings)),
      h('div', { class: 'row' }, button('Export the data', () => this.export(user)), button('Erase the user …', () => this.erase(user), { class: 'danger' })),
      this.outcome,
    )
    announce(`Privacy settings of ${user}`)
  }

  settings(settings) {
    const flags = [...FLAGS, HOLD]
    const box = h('div', { class: 'stack' })
    const draw = (known) => fill(box, switches(flags, known, async (name, on, input) => {
      input.disabled = true
      try {
        const wanted = replacement({ ...known, [name]: on }, flags)
        const { body } = await this.context.api.send('PUT', `/users/${segment(this.user)}/privacy`, wanted)
        box.replaceChildren()
        draw(body)
        find(input.id)?.focus()
        announce(`${flags.find(([flag]) => flag === name)[1]} is ${on ? 'on' : 'off'}.`)
        this.say('good', 'Saved.')
      } catch (failure) {
        input.checked = !on
        input.disabled = false
        this.say('bad', failure.status === 412 ? 'Somebody else changed the settings meanwhile; open the user again.' : explain(failure))
      }
    }))
    draw(settings)
    return box
  }

  say(tone, ...parts) {
    fill(this.outcome, h('div', { class: `note ${tone}` }, parts))
  }

  /** Every page of the export in one file. */
  async export(user) {
    const pages = []
    try {
      let cursor
      do {
        this.say('', `Exporting: ${pages.length} pages so far …`)
        const page = await this.context.api.get(`/users/${segment(user)}/export`, { cursor })
        pages.push(page)
        cursor = page.next
      } while (cursor && pages.length < EXPORT_PAGES_MAX)
      download(`export-${user.replaceAll(/[^A-Za-z0-9._-]/g, '_')}.json`, pages.length === 1 ? pages[0] : { pages })
      this.say('good', `The export is downloaded (${pages.length} ${pages.length === 1 ? 'page' : 'pages'}). It holds personal data: hand it to the person alone.`)
    } catch (failure) {
      this.say('bad', `Not exported: ${explain(failure)}`)
    }
  }

  /** Repeats the request until the erasure is complete, and shows the receipt. */
  async erase(user) {
    const question = {
      title: 'Erase this user?',
      text: 'Sessions, devices, state and the key of the user’s audit entries are destroyed. Nobody can undo it.',
      action: 'Erase for good',
      typed: user,
    }
    if (!await confirmed(question)) return
    const { api } = this.context
    try {
      for (let round = 0; round < ERASURE_ROUNDS_MAX; round += 1) {
        const { status, body } = await api.send('DELETE', `/users/${segment(user)}`)
        if (status === 200) return this.erased(user, body)
        this.say('', `Erasure ${body?.erasureId ?? ''} is running …`)
        await new Promise((resolve) => setTimeout(resolve, ERASURE_PAUSE_MILLIS))
        if (api.forgotten) return
      }
      this.say('warn', 'The erasure is still running. It goes on by itself; erase again to follow it.')
    } catch (failure) {
      const held = failure.code === 'legal_hold'
      this.say(held ? 'warn' : 'bad', held ? 'Not erased: the user is under legal hold.' : `Not erased: ${explain(failure)}`)
    }
  }

  erased(user, { erasureId, completedAt, counts = {}, receipt }) {
    const facts = [['Erasure', h('code', {}, erasureId)], ['Completed', moment(completedAt)],
      ...Object.entries(counts).map(([name, number]) => [capital(name.replaceAll(/([A-Z])/g, ' $1').toLowerCase()), count(number)])]
    fill(this.file)
    this.file.append(h('div', { class: 'note good', role: 'status' }, h('strong', {}, `${user} is erased.`), ' Keep the receipt: it proves when and what.'),
      h('dl', { class: 'facts' }, facts.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
      receipt && h('code', { class: 'receipt', tabindex: '0', role: 'group', 'aria-label': 'Receipt' }, receipt),
      receipt && h('div', { class: 'row' }, button('Download the receipt', () => download(`erasure-${erasureId}.jws`, receipt))))
    announce('The user is erased.')
  }
}
