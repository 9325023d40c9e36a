// A browser that watches: what a page loads, what its policy refused, what it threw.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const require = createRequire(pathToFileURL(`${process.env.BROWSER_DIR}/`))
const { chromium } = require('playwright-core')
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

/** Nothing but the page itself talks to anybody; the profile is an empty folder that is gone afterwards. */
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

export const { SERVICE_URL } = process.env

/** Runs `work(page, watch)` in a browser of its own and holds what happened against what may happen. */
export async function withPage(work, { colorScheme = 'light', hosts = [], ...options } = {}) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS })
  try {
    const context = await browser.newContext({
      colorScheme, reducedMotion: 'reduce', viewport: { width: 1440, height: 1000 }, locale: 'en-GB', timezoneId: 'UTC', ...options,
    })
    context.setDefaultTimeout(20_000)
    const watch = await watched(context, hosts)
    const page = await context.newPage()
    try {
      await work(page, watch)
    } catch (error) {
      // What the page complained of may be why.
      throw new Error(`${error.message}\n${watch.wrong.join('\n')}`, { cause: error })
    }
    watch.check()
  } finally {
    await browser.close()
  }
}

/** Notes every request, refusal of the policy and error of every page of a context. */
async function watched(context, hosts) {
  const wrong = []
  const requests = []
  const allowed = new Set([new URL(SERVICE_URL).host, ...hosts])
  context.on('request', (request) => {
    const url = new URL(request.url())
    requests.push({ method: request.method(), path: url.pathname, query: url.search, headers: request.headers() })
    const own = url.protocol === 'blob:' || (url.protocol === 'http:' && allowed.has(url.host))
    if (!own) wrong.push(`a request to ${url.origin}`)
  })
  await context.exposeBinding('reportViolation', (_, text) => wrong.push(`the policy refused ${text}`))
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  context.on('weberror', (error) => wrong.push(`an error: ${error.error().stack}`))
  context.on('console', (message) => {
    // The browser itself reports answers of 4xx and 5xx; those are the service's, and shown on the page.
    const refused = message.text().startsWith('Failed to load resource: the server responded with a status of')
    if (message.type() === 'error' && !refused) wrong.push(`on the console: ${message.text()}`)
  })
  return { requests, wrong, check: () => assert.deepEqual(wrong, []) }
}

/** Everything serious that axe finds. Run from outside, since the page's own policy lets no foreign script in. */
export async function assertAccessible(page, where) {
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(() => axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }))
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`).join('\n')}`)
  assert.deepEqual(told, [], `${where}, under axe`)
}

/** Signs in at the console. */
export async function signIn(page, key = process.env.APPLICATION_KEY) {
  await page.goto(`${SERVICE_URL}/console`)
  await page.getByLabel('Application key').fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

/** A secret is nowhere but in the memory of the page. */
export async function assertHeldInMemoryOnly(page, secret) {
  const found = await page.evaluate(async () => ({
    url: location.href,
    history: JSON.stringify(history.state),
    cookies: document.cookie,
    storage: [localStorage, sessionStorage].flatMap((store) => Array.from({ length: store.length }, (_, index) =>
      `${store.key(index)} ${store.getItem(store.key(index))}`)).join(' '),
    databases: JSON.stringify(await indexedDB.databases()),
    caches: JSON.stringify(await caches.keys()),
    page: document.documentElement.outerHTML,
    inputs: [...document.querySelectorAll('input')].map((input) => input.value).join(' '),
    globals: Object.getOwnPropertyNames(window).map((name) => { try { return String(window[name]) } catch { return '' } }).join(' '),
  }))
  for (const [place, text] of Object.entries(found)) assert.ok(!text.includes(secret), `the secret stands in ${place}`)
  assert.deepEqual(await page.context().cookies(), [])
}

/** A request of the test itself, as a backend makes it. */
export async function call(method, path, body, credential = process.env.APPLICATION_KEY) {
  const response = await fetch(`${SERVICE_URL}${path}`, {
    method,
    headers: { authorization: `Bearer ${credential}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}

/** A session, made for real. */
export async function createSession(body) {
  const { status, body: created } = await call('POST', '/sessions', body)
  assert.equal(status, 201, JSON.stringify(created))
  return created
}
