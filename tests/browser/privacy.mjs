// Privacy for real: switches of an operator and of the person, a legal hold, the export, and the erasure with its receipt.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { assertAccessible, call, createSession, SERVICE_URL, signIn, withPage } from './browser.mjs'

const USER = 'grace'
const settings = async () => (await call('GET', `/users/${USER}/privacy`)).body
const own = await createSession({ userId: USER, device: { name: 'Laptop' } })

// The person switches; a second look shows what was chosen.
await withPage(async (page) => {
  await page.goto(`${SERVICE_URL}/account#access_token=${own.accessToken}`)
  const tracking = page.getByRole('switch', { name: 'Activity tracking' })
  await tracking.click()
  await page.getByText('Activity tracking is off.').waitFor({ state: 'attached' })
  assert.equal((await settings()).activityTracking, false)
  assert.equal(await page.getByRole('switch', { name: 'Legal hold' }).count(), 0)
  await page.keyboard.press('Space')
  await page.getByText('Activity tracking is on.').waitFor({ state: 'attached' })
  assert.equal((await settings()).activityTracking, true)
  await assertAccessible(page, 'the switches')
})

await withPage(async (page) => {
  await signIn(page)
  const panel = page.locator('#privacy')
  await panel.getByLabel('User id').fill(USER)
  await panel.getByRole('button', { name: 'Open' }).click()
  await panel.getByRole('switch', { name: 'Location' }).click()
  await panel.getByText('Saved.').waitFor()
  assert.equal((await settings()).location, false)

  const downloading = page.waitForEvent('download')
  await panel.getByRole('button', { name: 'Export the data' }).click()
  const exported = JSON.parse(await readFile(await (await downloading).path(), 'utf8'))
  assert.ok(JSON.stringify(exported).includes(USER))

  // Under a legal hold nothing is erased.
  await panel.getByRole('switch', { name: 'Legal hold' }).click()
  await page.getByText('Legal hold is on.').waitFor({ state: 'attached' })
  const erase = async () => {
    await panel.getByRole('button', { name: 'Erase the user' }).click()
    const dialog = page.getByRole('dialog')
    const go = dialog.getByRole('button', { name: 'Erase for good' })
    await dialog.getByRole('textbox').fill(USER.slice(1))
    assert.equal(await go.isDisabled(), true, 'another text does not confirm')
    await dialog.getByRole('textbox').fill(USER)
    await go.click()
  }
  await erase()
  await panel.getByText('the user is under legal hold').waitFor()
  assert.equal((await call('GET', `/sessions/${own.session.sessionId}`)).status, 200)
  await panel.getByRole('switch', { name: 'Legal hold' }).click()
  await page.getByText('Legal hold is off.').waitFor({ state: 'attached' })
  await assertAccessible(page, 'a file')
  await erase()
  await panel.getByText(`${USER} is erased.`).waitFor()
  const receipt = await panel.getByRole('group', { name: 'Receipt' }).textContent()
  assert.equal(receipt.split('.').length, 3, 'a signed receipt')
  assert.equal((await call('GET', `/sessions/${own.session.sessionId}`)).status, 404)
})
console.log('done')
