// The console: signing in and out, and asking for what is shown again and again while somebody looks.

import { Alerts } from './alerts.js'
import { Api, explain, Failure } from './api.js'
import { Audit } from './audit.js'
import { announce, fill, find } from './dom.js'
import { clock } from './format.js'
import { Latency, Live, Places, RANGES } from './monitor.js'
import { Privacy } from './privacy.js'
import { Search } from './search.js'
import { Security } from './security.js'

const KEY_SHAPE = /^sk_([A-Za-z0-9_-]+)_[A-Za-z0-9_-]{20,}$/
/** Nobody has this id; asking for its sessions tells whether a key is good, and nothing else. */
const NOBODY = 'console-sign-in'
const OFTEN_MILLIS = 15_000
const SELDOM_MILLIS = 60_000
/** What a key may not see now, it may hardly see a minute later. */
const REFUSED_MILLIS = 300_000

/** What sections share. `api` is there between signing in and signing out. */
const context = { api: undefined, openSession: (id) => search.open(id) }

const live = new Live()
const latency = new Latency()
const places = new Places()
const security = new Security(context.openSession, () => poll(feed))
const alerts = new Alerts(live)
const audit = new Audit(context)
const privacy = new Privacy(context)
const search = new Search(context)

const tasks = [
  { section: live, every: OFTEN_MILLIS },
  { section: security, every: OFTEN_MILLIS },
  { section: alerts, every: OFTEN_MILLIS },
  { section: latency, every: SELDOM_MILLIS },
  { section: places, every: SELDOM_MILLIS },
  { section: audit, every: SELDOM_MILLIS },
]
const feed = tasks[1]

let paused = false
let timer

/** One section asks anew; what goes wrong is told there, and the others go on. */
async function poll(task) {
  const { api } = context
  if (!api || task.busy) return
  task.busy = true
  let wait = task.every
  try {
    await task.section.load(api, RANGES[find('range').value])
    task.failed = false
  } catch (failure) {
    if (api.forgotten) return
    const refused = failure instanceof Failure && [403, 404].includes(failure.status)
    task.failed = !refused
    if (refused) wait = REFUSED_MILLIS
    else wait = Math.max(wait, (failure.retryAfter ?? 0) * 1000)
    task.section.panel.trouble(explain(failure), { keep: !refused, tone: refused ? '' : 'warn' })
    if (!(failure instanceof Failure)) console.error(failure)
  } finally {
    task.busy = false
    if (context.api === api) task.due = Date.now() + wait
  }
  pulse(Date.now())
}

/** Asks for what is due, one section after the other, and comes back. Nothing is asked while the tab is hidden. */
async function round() {
  clearTimeout(timer)
  const { api } = context
  if (!api || paused || document.hidden) return pulse()
  for (const task of tasks) {
    if (context.api !== api) return
    if (!paused && !document.hidden && (task.due ?? 0) <= Date.now()) await poll(task)
  }
  if (context.api !== api) return
  clearTimeout(timer)
  timer = setTimeout(round, 1000)
}

/** Whether what is shown is current. */
function pulse(updated) {
  const element = find('pulse')
  const resting = paused || document.hidden
  const troubled = tasks.some(({ failed }) => failed)
  element.className = `pulse ${resting ? 'paused' : troubled ? 'troubled' : ''}`
  if (resting) element.textContent = 'Paused'
  else if (updated) element.textContent = `Live, updated ${clock(updated)}`
}

function pause(on) {
  paused = on
  find('pause').setAttribute('aria-pressed', String(on))
  find('pause').textContent = on ? 'Go on' : 'Pause'
  pulse()
  if (!on) round()
}

async function signIn(key) {
  const error = find('key-error')
  const refuse = (text) => {
    error.textContent = text
    error.hidden = false
    find('key').setAttribute('aria-invalid', 'true')
    find('key').focus()
  }
  error.hidden = true
  find('key').removeAttribute('aria-invalid')
  const shape = KEY_SHAPE.exec(key)
  if (!shape) return refuse('That is no application key: those begin with sk_ and the name of the application.')
  const api = new Api(key, () => { if (context.api === api) signOut('The key is not accepted any more.') })
  try {
    await api.get(`/sessions/user/${NOBODY}`, { limit: 1 })
  } catch (failure) {
    // A key that may not list sessions is a good key all the same.
    if (failure.status === 401) return refuse('This key is not accepted.')
    if (failure.status !== 403) return refuse(explain(failure))
  }
  context.api = api
  find('key').value = ''
  find('application').textContent = shape[1]
  for (const id of ['application', 'controls', 'board']) find(id).hidden = false
  find('gate').hidden = true
  live.tiles()
  find('main').focus()
  announce(`Signed in as ${shape[1]}.`)
  for (const task of tasks) Object.assign(task, { due: 0, failed: false })
  pause(false)
}

/** Forgets the key and everything that was shown with it. */
function signOut(reason) {
  if (!context.api) return
  context.api.forget()
  context.api = undefined
  clearTimeout(timer)
  for (const id of ['application', 'controls', 'board']) find(id).hidden = true
  find('gate').hidden = false
  find('dialog').close()
  find('key').value = ''
  find('key-error').hidden = !reason
  find('key-error').textContent = reason ?? ''
  for (const { section } of tasks) section.clear?.()
  for (const section of [live, latency, places, alerts]) section.panel.body.replaceChildren()
  Object.assign(live, { rows: undefined, range: undefined, firing: undefined })
  Object.assign(latency, { drawn: undefined })
  Object.assign(alerts, { known: undefined })
  Object.assign(audit, { paged: false })
  find('find').reset()
  privacy.clear()
  fill(find('tiles'))
  announce('Signed out.')
  find('key').focus()
}

find('sign-in').addEventListener('submit', async (submitted) => {
  submitted.preventDefault()
  const submit = submitted.target.querySelector('button')
  submit.disabled = true
  try {
    await signIn(find('key').value.trim())
  } finally {
    submit.disabled = false
  }
})
find('sign-out').addEventListener('click', () => signOut())
find('pause').addEventListener('click', () => pause(!paused))
find('range').addEventListener('change', () => {
  for (const task of tasks) task.due = 0
  round()
})
document.addEventListener('visibilitychange', () => round())
// A page that comes back from the history must not bring the key along.
addEventListener('pagehide', () => signOut())

// The section in view is marked in the list.
const links = new Map([...document.querySelectorAll('.board nav a')].map((link) => [link.hash.slice(1), link]))
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    for (const link of links.values()) link.removeAttribute('aria-current')
    links.get(target.id).setAttribute('aria-current', 'location')
  }
}, { rootMargin: '-56px 0px -75% 0px' })
for (const id of links.keys()) seen.observe(find(id))
find('key').focus()
