// Why a session ended, from the audit as it is: the replay of a copied token, and a chain that verifies.

import assert from 'node:assert/strict'
import { assertAccessible, signIn, withPage } from './browser.mjs'

const { REPLAYED_SESSION } = process.env

await withPage(async (page) => {
  await signIn(page)
  await page.getByLabel('User id or session id').fill(REPLAYED_SESSION)
  await page.getByRole('button', { name: 'Find', exact: true }).click()
  const story = page.getByRole('group', { name: 'The story of the session' })
  await story.getByRole('heading', { name: 'a refresh token that had been used up came back' }).waitFor()
  const told = await story.locator('.steps li').allTextContents()
  assert.ok(told[0].includes('The session began'), told.join('\n'))
  assert.ok(told.some((step) => step.includes('A used-up refresh token was presented again.')), told.join('\n'))
  // The answer to the replay is told behind the end that it caused.
  assert.ok(told.at(-2).includes('It ended'), told.join('\n'))
  assert.ok(told.at(-1).includes('A request was refused (refresh): refresh_token_reused.'), told.join('\n'))
  await story.getByText('victim').waitFor()

  const feed = page.getByRole('list', { name: 'Security events' })
  await feed.getByTitle(REPLAYED_SESSION).first().waitFor()
  await page.getByRole('button', { name: 'Verify the chains' }).click()
  await page.getByText('The audit is whole.').waitFor()
  await assertAccessible(page, 'a story')
})
console.log('done')
