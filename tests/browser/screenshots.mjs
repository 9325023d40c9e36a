// Takes the pictures of docs/ from a service that runs: `make dev` in one terminal, `make screenshots` in another.
//   SESSION_API_URL, SESSION_APPLICATION_KEY   where, and with which key (.dev/env)
//   PICTURES                                   the folder to write to
//   SAMPLE_REPORTS=1                           show sample figures where there are none yet

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

process.env.SERVICE_URL = process.env.SESSION_API_URL
process.env.APPLICATION_KEY = process.env.SESSION_APPLICATION_KEY
const { SERVICE_URL, call, createSession, signIn, withPage } = await import('./browser.mjs')
const { SESSION, serve } = await import('./reports.mjs')

const folder = process.env.PICTURES
const sample = process.env.SAMPLE_REPORTS === '1'
mkdirSync(folder, { recursive: true })

/** A user to look at, with devices and sessions. */
async function person(userId) {
  await call('DELETE', `/sessions/user/${userId}`)
  for (const [deviceId, name, type] of [['tv-1', 'Living room', 'tv'], ['phone-1', 'Phone', 'phone'], ['laptop-1', 'Laptop', 'desktop']]) {
    await createSession({ userId, device: { deviceId, name, type } })
  }
  return createSession({ userId, device: { deviceId: 'laptop-1', name: 'Laptop', type: 'desktop' } })
}

/** A session whose copied token came back, with a story to tell once the audit has it. */
async function stolen() {
  const { session, refreshToken } = await createSession({ userId: 'grace', device: { deviceId: 'phone-2', name: 'Grace’s phone', type: 'phone' } })
  let token = refreshToken
  for (let turn = 0; turn < 2; turn += 1) token = (await call('POST', `/sessions/${session.sessionId}/refresh`, { refreshToken: token })).body.refreshToken
  await call('POST', `/sessions/${session.sessionId}/refresh`, { refreshToken })
  return session.sessionId
}

/** The story is told once `write-audit` has taken up the events, which it does every minute. */
async function storyOf(page, id) {
  for (let attempt = 0; attempt < 25; attempt += 1) {
    await page.getByLabel('User id or session id').fill(id)
    await page.getByRole('button', { name: 'Find', exact: true }).click()
    const headline = page.locator('.story h3')
    await headline.or(page.locator('#results .note')).first().waitFor()
    if (await headline.count() > 0 && (await headline.textContent()).includes('ended')) return
    await page.waitForTimeout(3000)
  }
}

await person('ada')
const session = sample ? SESSION : await stolen()
for (const colorScheme of ['light', 'dark']) {
  await withPage(async (page) => {
    if (sample) await serve(page)
    await signIn(page)
    await page.getByLabel('Time range').selectOption('day')
    await storyOf(page, session)
    await page.getByRole('button', { name: 'Verify the chains' }).click()
    await page.locator('#audit [role="status"] .note:not(:text("Verifying"))').waitFor()
    await page.evaluate(() => {
      document.activeElement.blur()
      scrollTo(0, 0)
    })
    await page.screenshot({ path: join(folder, `console-${colorScheme}.png`), fullPage: true })
  }, { colorScheme, viewport: { width: 1320, height: 900 } })
}
await withPage(async (page) => {
  const { accessToken } = await person('ada')
  await page.goto(`${SERVICE_URL}/account#access_token=${accessToken}`)
  await page.locator('#devices li').first().waitFor()
  await page.screenshot({ path: join(folder, 'account.png'), fullPage: true })
}, { viewport: { width: 760, height: 700 } })
console.log('done')
