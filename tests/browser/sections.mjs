// What the sections make of the reports: figures, sentences, order; what they say when something is away; when they rest.

import assert from 'node:assert/strict'
import { assertAccessible, createSession, signIn, withPage } from './browser.mjs'
import { HOSTILE, serve, SHORT } from './reports.mjs'

const problem = (status, code, detail, headers = {}) => ({ status, body: { type: 'about:blank', title: code, status, code, retryable: status === 503, detail }, headers })

await createSession({ userId: 'reflow', device: { deviceId: 'phone-1', name: 'Phone', type: 'phone' } })

for (const colorScheme of ['light', 'dark']) {
  await withPage(async (page) => {
    await serve(page)
    await signIn(page)
    // Live: figures stand in the tiles, and behind the lines as a table.
    await page.getByRole('list', { name: 'Right now' }).getByText('Open sessions').waitFor()
    await page.getByRole('group', { name: 'Open sessions' }).getByText('Figures').click()
    assert.equal(await page.getByRole('region', { name: 'Figures: Open sessions' }).locator('tbody tr').count(), 60)
    assert.ok(await page.locator('#live canvas').count() >= 2, 'charts are drawn')
    // Countries are ranked, and named.
    const countries = page.getByRole('table', { name: 'Sessions by country' }).locator('tbody th')
    await countries.first().waitFor()
    assert.deepEqual((await countries.allTextContents()).slice(0, 3), ['Germany', 'Austria', 'France'])
    const latency = page.getByRole('table', { name: 'Latency by operation' })
    await latency.getByRole('row', { name: 'Lookup' }).waitFor()
    await page.getByLabel('Operation of the chart').selectOption('refresh')
    await page.getByRole('group', { name: 'Latency of refresh' }).waitFor()
    assert.match(await page.locator('#alerts li').first().textContent(), /^critical/)

    // Texts of strangers are texts.
    await page.locator('#audit').getByText(HOSTILE).first().waitFor()
    assert.equal(await page.locator('main img[src="x"]').count(), 0)

    // A story explains why, in sentences.
    await page.getByRole('list', { name: 'Security events' }).getByRole('button', { name: SHORT }).first().click()
    const story = page.getByRole('group', { name: 'The story of the session' })
    await story.getByText('a refresh token that had been used up came back').first().waitFor()
    await story.getByText('client, operating system or fingerprint were not those from before').first().waitFor()
    await story.getByText('3 times in a row').waitFor()

    // Verification follows every page.
    await page.getByRole('button', { name: 'Verify the chains' }).click()
    await page.getByText('The audit is whole.').waitFor()
    assert.ok((await page.locator('#audit [role="status"]').textContent()).includes('48,600 events in 64 chains'))

    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    assert.equal(ground, colorScheme === 'dark' ? 'rgb(13, 18, 24)' : 'rgb(244, 246, 248)')
    await assertAccessible(page, `the console in ${colorScheme}`)
    // Enlarged four times, or on a phone, it is read without scrolling sideways.
    await page.getByLabel('User id or session id').fill('reflow')
    await page.getByRole('button', { name: 'Find', exact: true }).click()
    await page.getByRole('table', { name: 'Devices' }).waitFor()
    await page.setViewportSize({ width: 320, height: 640 })
    // Charts follow the width of their place a frame later.
    await page.waitForFunction(() => document.documentElement.scrollWidth === 320)
  }, { colorScheme })
}

// Each section fails alone and says why; a bad chain is told.
await withPage(async (page) => {
  await serve(page, ({ pathname }) => ({
    '/analytics/activity': problem(403, 'insufficient_scope', 'The scope analytics:read is required.'),
    '/analytics/performance': problem(503, 'dependency_unavailable', 'PostgreSQL is away.', { 'retry-after': '1' }),
    '/analytics/alerts': { status: 404, body: { message: 'Not Found' } },
    '/audit/verify': { status: 200, body: { intact: false, complete: false, checkedEvents: 90, checkedChains: 3, firstBad: { chain: 7, sequence: 12, kind: 'edited', eventId: 'e-12' } } },
  })[pathname])
  await signIn(page)
  await page.locator('#live').getByText('The scope analytics:read is required.').waitFor()
  await page.locator('#latency').getByText('A dependency of the service is away at the moment.').waitFor()
  await page.locator('#alerts').getByText('This deployment does not offer this.').waitFor()
  await page.getByRole('table', { name: 'Sessions by country' }).waitFor()
  await page.getByRole('list', { name: 'Security events' }).getByText('An address asked for many things').waitFor()
  await page.getByRole('button', { name: 'Verify the chains' }).click()
  await page.getByText('Event 12 of chain 7 was edited').waitFor()
  await assertAccessible(page, 'the console with troubles')
})

// Nothing is asked while the tab is hidden or the operator pauses; asking goes on afterwards.
await withPage(async (page, watch) => {
  await page.clock.install()
  await serve(page)
  await signIn(page)
  await page.getByRole('table', { name: 'Sessions by country' }).waitFor()
  const asked = () => watch.requests.filter(({ path }) => path === '/analytics/activity').length
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value })
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
  const rests = async (why) => {
    await page.getByText('Paused', { exact: true }).waitFor()
    const before = asked()
    await page.clock.runFor(120_000)
    assert.equal(asked(), before, why)
  }
  const goesOn = async (resume) => {
    const next = page.waitForRequest(/analytics\/activity/)
    await resume()
    await next
  }
  await hide(true)
  await rests('the tab is hidden')
  await goesOn(() => hide(false))
  await page.getByRole('button', { name: 'Pause' }).click()
  await rests('paused')
  await goesOn(() => page.getByRole('button', { name: 'Go on' }).click())
})
console.log('done')
