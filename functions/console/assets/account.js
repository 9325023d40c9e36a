// A session holder's own sessions, devices and privacy, for a frame in an application or for a page of its own.
//
// The access token comes from the page around this one, when that is on the list of the deployment, or in the fragment of
// the URL, and stays in a private field. Messages, all with `type: 'session-account'`:
//   to the parent    state: 'ready' | 'expired' | 'reauthenticate'
//   from the parent  accessToken: a fresh token, at any time

import { Api, explain, segment } from './api.js'
import { announce, button, confirmed, fill, find, h, Panel } from './dom.js'
import { capital, timeOf } from './format.js'
import { FLAGS, replacement, switches } from './privacy.js'

const TYPE = 'session-account'
const parents = document.querySelector('meta[name="parent-origins"]').content.split(' ').filter(Boolean)
const framed = window.parent !== window

const panels = { sessions: new Panel('sessions'), devices: new Panel('devices'), privacy: new Panel('privacy') }
let api
let user

/** The token in the fragment, which is gone from the URL and the history before anything else happens. */
function fromFragment() {
  const token = new URLSearchParams(location.hash.slice(1)).get('access_token')
  if (location.hash !== '') history.replaceState(null, '', location.pathname)
  return token
}

/** What a token says of itself; the service verifies it, this page only reads whose it is. */
function claims(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

/** The state is no secret, and only listed parents can frame this page. */
function tell(state) {
  if (framed) window.parent.postMessage({ type: TYPE, state }, '*')
}

function say(text, tone = '') {
  find('state').className = `note ${tone}`
  find('state').textContent = text
  find('state').hidden = text === ''
}

function begin(token) {
  const claim = claims(token)
  api?.forget()
  if (typeof claim?.sub !== 'string') return say('That is no access token.', 'bad')
  if (claim.cnf) return say('This session is bound to a key that this page does not have. Manage it in your application.', 'warn')
  api = new Api(token, expired)
  user = claim.sub
  say('')
  find('own').hidden = false
  for (const load of [sessions, devices, privacy]) load()
}

function expired(failure) {
  api?.forget()
  const over = failure?.code === 'session_ended' || failure?.code === 'session_quarantined'
  if (over) {
    find('own').hidden = true
    for (const panel of Object.values(panels)) fill(panel.body)
  }
  say(over ? 'You are signed out.' : framed ? 'Asking your application for a fresh sign-in.' : 'Your sign-in has expired. Open this page again from your application.', 'warn')
  tell('expired')
}

/** Shows one part; what goes wrong is told there. */
async function part(panel, work) {
  const current = api
  try {
    panel.show(...[await work(current)].flat())
  } catch (failure) {
    if (!current.forgotten) panel.trouble(explain(failure), { keep: false, tone: failure.status === 404 ? '' : 'warn' })
  }
}

/** Asks, ends, and shows what is left. */
async function end(question, path, done, parameters) {
  if (!await confirmed(question)) return
  try {
    await api.send('DELETE', path, { parameters })
    say(done, 'good')
  } catch (failure) {
    if (failure.code === 'insufficient_user_authentication') {
      tell('reauthenticate')
      return say('Please sign in once more in your application; then come back.', 'warn')
    }
    if (!api.forgotten) say(explain(failure), 'bad')
    return
  }
  sessions()
  devices()
}

const SHAPES = {
  phone: ['M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z', 'M11 18h2'],
  other: ['M4 5h16v11H4z', 'M9 20h6', 'M12 16v4'],
}

function glyph(type) {
  const make = (name, attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    return element
  }
  const picture = make('svg', { viewBox: '0 0 24 24' })
  picture.append(...(SHAPES[type === 'tablet' ? 'phone' : type] ?? SHAPES.other).map((d) => make('path', { d })))
  return h('span', { class: 'glyph', 'aria-hidden': 'true' }, picture)
}

function sessions() {
  return part(panels.sessions, async (current) => {
    const page = await current.get(`/sessions/user/${segment(user)}`, { limit: 100 })
    const own = page.sessions.find((session) => session.current)
    find('end-others').hidden = !own || page.sessions.length < 2
    find('end-others').dataset.except = own?.sessionId ?? ''
    return h('ul', { class: 'entries' }, page.sessions.map((session) => {
      const name = session.device?.name ?? (session.device?.type ? capital(session.device.type) : 'A device')
      return h('li', {}, glyph(session.device?.type),
        h('div', { class: 'grow' }, h('strong', {}, name), session.current && [' ', h('span', { class: 'tag good' }, 'this device')],
          h('p', { class: 'muted' }, session.place && `${session.place} · `, 'active ', timeOf(session.lastActivityAt))),
        button('Sign out', () => end({
          title: `Sign out ${name}?`,
          text: session.current ? 'You are signed out here.' : 'Whoever uses it has to sign in again.',
          action: 'Sign out',
        }, `/sessions/${segment(session.sessionId)}`, `${name} is signed out.`), { class: 'small', 'aria-label': `Sign out ${name}` }))
    }))
  })
}

function devices() {
  return part(panels.devices, async (current) => {
    const { devices: found } = await current.get(`/users/${segment(user)}/devices`)
    if (found.length === 0) return h('p', { class: 'muted' }, 'None of your devices is registered.')
    return h('ul', { class: 'entries' }, found.map((device) => {
      const name = device.name ?? (device.type ? capital(device.type) : 'A device')
      return h('li', {}, glyph(device.type),
        h('div', { class: 'grow' }, h('strong', {}, name), device.current && [' ', h('span', { class: 'tag good' }, 'this device')],
          h('p', { class: 'muted' }, device.place && `${device.place} · `, device.client && `${device.client} · `, 'signed in ', timeOf(device.lastSeenAt))),
        button('Remove', () => end({
          title: `Remove ${name}?`,
          text: 'It is signed out everywhere and forgotten. Do this when it is lost or not yours any more.',
          action: 'Remove',
        }, `/users/${segment(user)}/devices/${segment(device.deviceId)}`, `${name} is removed.`), { class: 'small danger', 'aria-label': `Remove ${name}` }))
    }))
  })
}

function privacy() {
  return part(panels.privacy, async (current) => {
    const settings = await current.get(`/users/${segment(user)}/privacy`)
    const box = h('div', { class: 'switches' })
    const draw = (known) => box.replaceChildren(...switches(FLAGS, known, async (name, on, input) => {
      input.disabled = true
      try {
        const { body } = await api.send('PUT', `/users/${segment(user)}/privacy`, replacement({ ...known, [name]: on }, FLAGS))
        draw(body)
        find(input.id)?.focus()
        announce(`${FLAGS.find(([flag]) => flag === name)[1]} is ${on ? 'on' : 'off'}.`)
      } catch (failure) {
        input.checked = !on
        input.disabled = false
        say(failure.status === 412 ? 'The settings were changed elsewhere meanwhile.' : explain(failure), 'bad')
        if (failure.status === 412) privacy()
      }
    }))
    draw(settings)
    return box
  })
}

find('end-others').addEventListener('click', ({ currentTarget }) => end({
  title: 'Sign out everywhere else?',
  text: 'All of your other sessions end at once. You stay signed in here.',
  action: 'Sign out everywhere else',
}, `/sessions/user/${segment(user)}`, 'You are signed out everywhere else.', { except: currentTarget.dataset.except }))

addEventListener('message', (message) => {
  if (message.source !== window.parent || !parents.includes(message.origin) || message.data?.type !== TYPE) return
  if (typeof message.data.accessToken === 'string') begin(message.data.accessToken)
})
addEventListener('hashchange', () => {
  const token = fromFragment()
  if (token) begin(token)
})
// A page that comes back from the history must not bring the token along.
addEventListener('pagehide', () => {
  api?.forget()
  find('own').hidden = true
  for (const panel of Object.values(panels)) fill(panel.body)
})

const token = fromFragment()
if (token) begin(token)
else if (!framed) say('Open this page from your application.')
tell('ready')
