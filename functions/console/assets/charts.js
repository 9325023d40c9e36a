// Line charts by uPlot, each with its figures as a table for those who do not see the lines.

import { h } from './dom.js'

const uPlot = globalThis.uPlot
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const SERIES = ['--series-1', '--series-2', '--series-3']

/** Counts are shown from zero on; of a level its changes are what counts. */
const reach = (level) => (_, low, high) => {
  if (!level) return [Math.min(0, low), (high || 1) * 1.08]
  const room = Math.max((high - low) * 0.15, high * 0.01, 1)
  return [Math.max(0, low - room), high + room]
}

/** A line without axes, for a tile. */
export function spark(width, height, times, values, { tone = '--series-1', level = false } = {}) {
  const box = h('div', { class: 'spark', 'aria-hidden': 'true' })
  if (times.length < 2) return box
  new uPlot({
    width, height, padding: [2, 0, 2, 0], legend: { show: false }, cursor: { show: false }, axes: [{ show: false }, { show: false }],
    scales: { y: { range: reach(level) } },
    series: [{}, { stroke: color(tone), width: 1.5, points: { show: false } }],
  }, [times, values], box)
  return box
}

export class Chart {
  /** `series`: labels; `write` formats a value; `stamp` formats a time. */
  constructor(label, series, { height = 210, level = false, write, stamp }) {
    Object.assign(this, { label, series, height, level, write, stamp })
    this.keys = h('ul', { class: 'keys' })
    this.box = h('div', { class: 'chart', 'aria-hidden': 'true' })
    this.figures = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Figures: ${label}` })
    this.element = h('figure', { 'aria-label': label, role: 'group' }, this.keys, this.box,
      h('details', { class: 'figures' }, h('summary', {}, 'Figures'), this.figures))
    this.data = undefined
    this.observer = new ResizeObserver(() => {
      const width = this.box.clientWidth
      if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.height })
      else if (!this.plot && this.data) this.draw()
    })
    this.observer.observe(this.box)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw())
  }

  /** `times` in seconds, then one list of values per series. */
  update(times, ...values) {
    this.data = [times, ...values]
    if (this.plot) this.plot.setData(this.data)
    else this.draw()
    this.legend(times.length - 1)
    this.writeFigures()
  }

  redraw() {
    this.plot?.destroy()
    this.plot = undefined
    if (this.data) this.draw()
  }

  draw() {
    const width = this.box.clientWidth
    if (width === 0) return
    const axis = { stroke: color('--muted'), font: '11px system-ui', grid: { stroke: color('--grid'), width: 1 }, ticks: { show: false } }
    this.plot = new uPlot({
      width,
      height: this.height,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: reach(this.level) } },
      axes: [
        { ...axis, values: (_, splits) => splits.map((split) => this.stamp(split * 1000, true)), space: 76, size: 28 },
        { ...axis, values: (_, splits) => splits.map((value) => this.write(value)), size: 52, space: 34 },
      ],
      series: [{}, ...this.series.map((label, index) => ({
        label, stroke: color(SERIES[index]), width: 1.75, points: { show: false }, spanGaps: true,
      }))],
      hooks: { setCursor: [({ cursor }) => this.legend(cursor.idx ?? this.data[0].length - 1)] },
    }, this.data, this.box)
  }

  legend(index) {
    const [times, ...values] = this.data
    if (index < 0) return this.keys.replaceChildren()
    this.keys.replaceChildren(
      ...this.series.map((label, at) => h('li', {}, `${label} `, h('b', {}, this.write(values[at][index])))),
      h('li', { class: 'when' }, this.stamp(times[index] * 1000)),
    )
  }

  writeFigures() {
    const [times, ...values] = this.data
    const rows = times.map((time, index) => h('tr', {}, h('th', { scope: 'row' }, this.stamp(time * 1000)),
      values.map((list) => h('td', { class: 'number' }, this.write(list[index]))))).reverse()
    const scroll = this.figures.scrollTop
    this.figures.replaceChildren(h('table', {}, h('caption', { class: 'unseen' }, this.label),
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Time'), this.series.map((label) => h('th', { scope: 'col', class: 'number' }, label)))),
      h('tbody', {}, rows)))
    this.figures.scrollTop = scroll
  }
}
