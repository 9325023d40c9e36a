// A session holder's page: the token by the fragment and by the frame around it, remote logout, nothing for strangers.

import assert from 'node:assert/strict'
import { assertAccessible, assertHeldInMemoryOnly, call, createSession, SERVICE_URL, withPage } from './browser.mjs'

const { PARENT_ORIGIN, STRANGER_ORIGIN } = process.env
const status = async (session) => (await call('GET', `/sessions/${session.session.sessionId}`)).status
const person = (userId) => Promise.all(['Laptop', 'Phone', 'Tablet'].map((name) =>
  createSession({ userId, device: { deviceId: `${userId}-${name}`, name } })))

// By the fragment, which leaves the URL and the history at once.
for (const colorScheme of ['light', 'dark']) {
  const [laptop, phone, tablet] = await person(`fragment-${colorScheme}`)
  await withPage(async (page, watch) => {
    await page.goto(`${SERVICE_URL}/account#access_token=${laptop.accessToken}`)
    const sessions = page.locator('#sessions li')
    await sessions.first().waitFor()
    assert.equal(page.url(), `${SERVICE_URL}/account`)
    await assertHeldInMemoryOnly(page, laptop.accessToken)
    assert.equal(await sessions.count(), 3)
    assert.equal(await page.locator('#sessions li', { hasText: 'this device' }).locator('strong').textContent(), 'Laptop')
    await assertAccessible(page, `the account in ${colorScheme}`)

    // One elsewhere, one device for good, then all others.
    await page.getByRole('button', { name: 'Sign out Phone' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('Phone is signed out.').waitFor()
    assert.deepEqual([await status(phone), await status(tablet)], [404, 200])
    await page.getByRole('button', { name: 'Remove Tablet' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
    await page.getByText('Tablet is removed.').waitFor()
    assert.deepEqual([await status(tablet), await status(laptop)], [404, 200])
    const another = await createSession({ userId: `fragment-${colorScheme}` })
    await page.goto(`${SERVICE_URL}/account#access_token=${laptop.accessToken}`)
    await page.getByRole('button', { name: 'Sign out everywhere else' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere else' }).click()
    await page.getByText('You are signed out everywhere else.').waitFor()
    assert.deepEqual([await status(another), await status(laptop)], [404, 200])

    // The own session: the page is over.
    await page.getByRole('button', { name: 'Sign out Laptop' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('You are signed out.').waitFor()
    assert.equal(await status(laptop), 404)
    assert.equal(await page.locator('#sessions').isVisible(), false)
    for (const { path, query } of watch.requests) assert.ok(!`${path}${query}`.includes(laptop.accessToken), path)
  }, { colorScheme })
}

/** A page of an application at another origin. */
const embed = (page, origin, { accessToken }) => page.goto(`${origin}/#${new URLSearchParams({ service: SERVICE_URL, token: accessToken })}`)

// By a message of a listed parent.
const [own] = await person('framed')
await withPage(async (page) => {
  await embed(page, PARENT_ORIGIN, own)
  const account = page.frameLocator('iframe')
  await account.locator('#sessions li').first().waitFor()
  assert.equal(await account.locator('#sessions li').count(), 3)
  await call('DELETE', `/sessions/${own.session.sessionId}`)
  await account.getByRole('button', { name: 'Remove Phone' }).click()
  await account.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await account.getByText('You are signed out.').waitFor()
  assert.deepEqual(await page.evaluate(() => heard), ['ready', 'expired'])
}, { hosts: [new URL(PARENT_ORIGIN).host] })

// A parent that is not listed can not even frame it, nor does a message of it count.
const stranger = await createSession({ userId: 'stranger' })
await assert.rejects(withPage(async (page) => {
  const refused = page.waitForEvent('console', { predicate: (message) => message.text().includes('frame-ancestors') })
  await embed(page, STRANGER_ORIGIN, stranger)
  await refused
  assert.equal(await page.frameLocator('iframe').locator('#sessions').count(), 0)
  assert.deepEqual(await page.evaluate(() => heard), [])
}, { hosts: [new URL(STRANGER_ORIGIN).host] }), /frame-ancestors/)
await withPage(async (page) => {
  await page.goto(`${SERVICE_URL}/account`)
  await page.getByText('Open this page from your application.').waitFor()
  await page.evaluate((accessToken) => window.postMessage({ type: 'session-account', accessToken }, '*'), stranger.accessToken)
  await page.evaluate(() => new Promise((resolve) => { addEventListener('message', resolve, { once: true }); window.postMessage('after', '*') }))
  assert.equal(await page.locator('#own').isVisible(), false)
  await page.goto(`${SERVICE_URL}/account#access_token=nonsense`)
  await page.getByText('That is no access token.').waitFor()
})
console.log('done')
