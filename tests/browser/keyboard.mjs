// The console with the keyboard alone: every control is reached in order, seen when it has the focus, and works.

import assert from 'node:assert/strict'
import { call, createSession, SERVICE_URL, withPage } from './browser.mjs'
import { serve } from './reports.mjs'

const STEPS_MAX = 200
const session = await createSession({ userId: 'keyboard', device: { name: 'Phone', type: 'phone' } })

const focused = (page) => page.evaluate(() => {
  const element = document.activeElement
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  const box = element.getBoundingClientRect()
  const name = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent
  return {
    name: name.trim(), id: element.id, tag: element.tagName, seen: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    inView: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  }
})

/** Presses Tab until the focus is where `wanted` says; every stop on the way has to be visible. */
async function tabTo(page, wanted) {
  const way = []
  for (let step = 0; step < STEPS_MAX; step += 1) {
    await page.keyboard.press('Tab')
    const at = await focused(page)
    way.push(at.name || at.id)
    if (at.tag !== 'BODY') assert.ok(at.seen && at.inView, `the focus does not show on ${JSON.stringify(at)}`)
    if (wanted(at)) return way
  }
  throw new Error(`not reached: ${way.join(' > ')}`)
}

await withPage(async (page) => {
  await serve(page)
  await page.goto(`${SERVICE_URL}/console`)
  // The field has the focus at once.
  await page.waitForFunction(() => document.activeElement.id === 'key')
  await page.keyboard.type(process.env.APPLICATION_KEY)
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.activeElement.id === 'main')
  await page.getByRole('table', { name: 'Sessions by country' }).waitFor()
  await page.getByRole('button', { name: 'Pause' }).evaluate((button) => button.click())

  // From the top: the link over the bar, the controls, the list of sections, then the sections in their order.
  const skip = page.getByRole('link', { name: 'Skip to content' })
  await skip.focus()
  assert.ok((await focused(page)).inView, 'the link shows when it has the focus')
  const way = await tabTo(page, ({ id }) => id === 'find-text')
  const order = ['Go on', 'Time range', 'Sign out', 'Live', 'Privacy', 'Figures', 'Kind of event', 'Operation of the chart', 'User id or session id']
  const places = order.map((name) => way.indexOf(name))
  assert.ok(places.every((place, index) => place >= 0 && (index === 0 || place > places[index - 1])), `${way.join(' > ')}`)

  // A section is jumped to from the list.
  await page.getByRole('link', { name: 'Find' }).focus()
  await page.keyboard.press('Enter')
  await tabTo(page, ({ id }) => id === 'find-text')
  await page.keyboard.type('keyboard')
  await page.keyboard.press('Enter')
  await page.getByRole('table', { name: 'Live sessions' }).waitFor()
  // The focus is at the result; the question keeps it inside and gives it back.
  await tabTo(page, ({ name }) => name.startsWith('End session'))
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  for (let step = 0; step < 4; step += 1) {
    await page.keyboard.press('Tab')
    const inside = await page.evaluate(() => document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement))
    assert.ok(inside, 'the focus left the question')
  }
  await page.keyboard.press('Escape')
  assert.ok((await focused(page)).name.startsWith('End session'), 'the focus comes back')
  assert.equal((await call('GET', `/sessions/${session.session.sessionId}`)).status, 200)
  await page.keyboard.press('Enter')
  await tabTo(page, ({ name }) => name === 'End session')
  await page.keyboard.press('Enter')
  await page.getByText('No live session with this application.').waitFor()
  assert.equal((await call('GET', `/sessions/${session.session.sessionId}`)).status, 404)

  // The link over the bar passes it by.
  await skip.focus()
  await page.keyboard.press('Enter')
  assert.equal((await focused(page)).id, 'main')
  await page.getByRole('button', { name: 'Sign out' }).focus()
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.activeElement.id === 'key')
})
console.log('done')
