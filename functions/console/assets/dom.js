// Building what is shown. Texts become text nodes and never markup.

/** An element; `on…` are listeners, other members attributes, children texts or nodes. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
    else if (value === true) element.setAttribute(key, '')
    else element.setAttribute(key, value)
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false))
  return element
}

export const find = (id) => document.getElementById(id)

/**
 * Replaces what is in an element, and leaves alone what is there already: readers and selections keep their place. The
 * focus stays on what has the same name.
 */
export function fill(element, ...children) {
  const fresh = h('div', {}, ...children)
  const same = fresh.childNodes.length === element.childNodes.length
    && [...fresh.childNodes].every((node, index) => node.isEqualNode(element.childNodes[index]))
  if (same) return
  const focused = element.contains(document.activeElement) && nameOf(document.activeElement)
  element.replaceChildren(...fresh.childNodes)
  if (focused) [...element.querySelectorAll('button, [tabindex], input')].find((node) => nameOf(node) === focused)?.focus({ preventScroll: true })
}

const nameOf = (node) => node.id || node.getAttribute('aria-label') || node.textContent

/** A button that can not be pressed again while its work is under way. It keeps the focus meanwhile, unlike a disabled one. */
export function button(label, work, attributes = {}) {
  return h('button', {
    type: 'button',
    ...attributes,
    onclick: async ({ currentTarget }) => {
      if (currentTarget.ariaDisabled === 'true') return
      currentTarget.ariaDisabled = 'true'
      try {
        await work(currentTarget)
      } finally {
        currentTarget.ariaDisabled = null
      }
    },
  }, label)
}

/** A table whose first column names the row. Columns: `[label, class]`; cells are texts or nodes. */
export function table(caption, columns, rows, attributes = {}) {
  const head = columns.map(([label, kind]) => h('th', { scope: 'col', class: kind },
    label.startsWith('(') ? h('span', { class: 'unseen' }, label.slice(1, -1)) : label))
  const body = rows.map((cells) => h('tr', {}, cells.map((cell, index) => index === 0
    ? h('th', { scope: 'row', class: columns[0][1] }, cell)
    : h('td', { class: columns[index][1] }, cell))))
  return h('div', { class: 'scroll' }, h('table', attributes,
    h('caption', { class: 'unseen' }, caption), h('thead', {}, h('tr', {}, head)), h('tbody', {}, body)))
}

/** A section of the page: its content, and a note when something is not as it should be. */
export class Panel {
  constructor(id) {
    this.section = find(id)
    this.body = this.section.querySelector('.body')
    this.note = h('p', { class: 'note', hidden: true })
    this.section.querySelector('header').after(this.note)
  }

  /** What is shown is current. */
  show(...children) {
    this.calm()
    fill(this.body, ...children)
  }

  calm() {
    this.note.hidden = true
    this.body.hidden = false
  }

  /** Says why nothing, or nothing newer, is shown. What was shown before stays, unless it may not be seen. */
  trouble(text, { keep = true, tone = '' } = {}) {
    this.note.className = `note ${tone}`
    this.note.textContent = text
    this.note.hidden = false
    if (!keep) this.body.replaceChildren()
    this.body.hidden = this.body.childNodes.length === 0
  }
}

/** Tells those who do not see the page. */
export function announce(text) {
  find('announcer').textContent = ''
  // A region that is emptied and filled at once is not read again.
  requestAnimationFrame(() => { find('announcer').textContent = text })
}

/**
 * Asks before something that can not be undone. With `typed`, that text has to be typed first. The browser keeps the
 * focus inside, closes on Escape, and gives the focus back.
 */
export function confirmed({ title, text, action, typed }) {
  const dialog = find('dialog')
  const go = h('button', { type: 'button', class: 'danger', disabled: typed !== undefined }, action)
  const input = typed !== undefined && h('input', {
    id: 'dialog-typed',
    class: 'mono',
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: ({ target }) => { go.disabled = target.value !== typed },
  })
  fill(dialog)
  dialog.append(
    h('h2', { id: 'dialog-title' }, title),
    h('p', { id: 'dialog-text', class: 'muted' }, text),
    ...(input ? [h('div', { class: 'field' }, h('label', { for: 'dialog-typed' }, 'Type ', h('code', {}, typed), ' to confirm'), input)] : []),
    h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), go),
  )
  return new Promise((resolve) => {
    let answer = false
    go.addEventListener('click', () => {
      answer = true
      dialog.close()
    })
    dialog.addEventListener('close', () => resolve(answer), { once: true })
    dialog.showModal()
  })
}

/** Hands a document to the user as a file. */
export function download(name, document) {
  const text = typeof document === 'string' ? document : JSON.stringify(document, null, 2)
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  h('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
