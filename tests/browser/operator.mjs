// An operator signs in, finds a user, logs sessions and devices out for real, and signs out.

import assert from 'node:assert/strict'
import { assertAccessible, assertHeldInMemoryOnly, call, createSession, SERVICE_URL, signIn, withPage } from './browser.mjs'

const { APPLICATION_KEY, NARROW_KEY } = process.env
const USER = 'ada'

const status = async (session) => (await call('GET', `/sessions/${session.session.sessionId}`)).status
const dialog = (page) => page.getByRole('dialog')

async function find(page, text) {
  await page.getByLabel('User id or session id').fill(text)
  await page.getByRole('button', { name: 'Find', exact: true }).click()
}

/** Confirms what a button asks for, and waits until it is done. */
async function confirm(page, button, action) {
  await button.click()
  await dialog(page).getByRole('button', { name: action }).click()
  await dialog(page).waitFor({ state: 'hidden' })
}

const [phone, tablet, laptop, desk] = await Promise.all([
  { deviceId: 'phone-1', name: 'Phone', type: 'phone' },
  { name: '<b>Tablet</b>', type: 'tablet' },
  { name: 'Laptop', type: 'desktop' },
  { name: 'Desk', type: 'desktop' },
].map((device) => createSession({ userId: USER, device })))

await withPage(async (page, watch) => {
  await page.goto(`${SERVICE_URL}/console`)
  await assertAccessible(page, 'the sign-in')
  // Refusals say why, and nothing is signed in.
  for (const [wrong, said] of [['hello', 'no application key'], [`sk_demo_${'A'.repeat(43)}`, 'not accepted']]) {
    await page.getByLabel('Application key').fill(wrong)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').filter({ hasText: said }).waitFor()
    assert.equal(await page.getByRole('button', { name: 'Sign out' }).isVisible(), false)
  }
  await signIn(page)
  await assertHeldInMemoryOnly(page, APPLICATION_KEY)

  await find(page, USER)
  const sessions = page.getByRole('table', { name: 'Live sessions' })
  await sessions.getByText('<b>Tablet</b>').waitFor()
  assert.equal(await sessions.locator('tbody tr').count(), 4)
  await assertAccessible(page, 'a user')

  // Cancelling changes nothing; confirming ends exactly that session.
  const end = sessions.getByRole('row', { name: 'Tablet' }).getByRole('button', { name: 'End session' })
  await end.click()
  await assertAccessible(page, 'the question')
  await page.keyboard.press('Escape')
  assert.equal(await status(tablet), 200)
  await confirm(page, end, 'End session')
  await sessions.getByText('<b>Tablet</b>').waitFor({ state: 'hidden' })
  assert.deepEqual([await status(tablet), await status(phone), await status(laptop)], [404, 200, 200])

  // A device goes for good, with its sessions.
  const devices = page.getByRole('table', { name: 'Devices' })
  await confirm(page, devices.getByRole('button', { name: 'Log out Phone' }), 'Log out device')
  await devices.waitFor({ state: 'hidden' })
  assert.equal(await status(phone), 404)
  assert.equal((await call('GET', `/users/${USER}/devices/phone-1`)).status, 404)

  // One session by its id.
  await find(page, laptop.session.sessionId)
  await confirm(page, page.getByRole('button', { name: 'End this session' }), 'End session')
  await page.getByText('The session is over.').waitFor()
  assert.deepEqual([await status(laptop), await status(desk)], [404, 200])

  // Everything that is left.
  await find(page, USER)
  await confirm(page, page.getByRole('button', { name: 'Log out everywhere' }), 'Log out everywhere')
  await page.getByText('No live session with this application.').waitFor()
  assert.equal(await status(desk), 404)
  assert.ok(!page.url().includes(USER) && !page.url().includes('ses_'), page.url())

  // Signing out forgets the key and what was shown with it.
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Application key').waitFor()
  await assertHeldInMemoryOnly(page, APPLICATION_KEY)
  assert.ok(!(await page.content()).includes('phone-1') && !(await page.content()).includes('No live session'))
  const asked = watch.requests.length
  await page.getByLabel('Application key').press('Tab')
  assert.equal(watch.requests.length, asked, 'nothing is asked after signing out')

  // Reloading, and coming back from elsewhere, finds nobody signed in.
  await signIn(page)
  await page.goto(`${SERVICE_URL}/health`)
  await page.goBack()
  await page.getByLabel('Application key').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).isVisible(), false)
  for (const { path, query, headers } of watch.requests) {
    assert.ok(!`${path}${query}`.includes(APPLICATION_KEY), `the key stands in the URL of ${path}`)
    assert.ok(!headers.cookie, `${path} carries cookies`)
  }
})

// A key with few scopes signs in all the same, and each section says what it lacks.
await withPage(async (page) => {
  await signIn(page, NARROW_KEY)
  await find(page, USER)
  await page.getByRole('table', { name: 'Live sessions' }).or(page.getByText('No live session with this application.')).waitFor()
  await page.locator('#results').getByText('The scope devices:manage is required.').waitFor()
})
console.log('done')
