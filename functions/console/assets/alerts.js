// What the rules of the service have found.

import { announce, h, Panel } from './dom.js'
import { duration, figure, timeOf } from './format.js'
import { over, RANGES } from './monitor.js'

export class Alerts {
  constructor(live) {
    this.panel = new Panel('alerts')
    this.live = live
    this.known = undefined
  }

  async load(api) {
    const { rows } = await api.get('/analytics/alerts', over(RANGES.week))
    const newest = (a, b) => b.startedAt.localeCompare(a.startedAt)
    const grave = ({ severity }) => severity === 'critical' ? 0 : 1
    const firing = rows.filter(({ state }) => state === 'firing').sort((a, b) => grave(a) - grave(b) || newest(a, b))
    const resolved = rows.filter(({ state }) => state !== 'firing').sort(newest).slice(0, 12)
    this.live.firing = firing
    this.live.tiles()
    const fresh = firing.filter(({ alertId }) => this.known && !this.known.has(alertId))
    if (fresh.length > 0) announce(`New alert: ${fresh.map(({ summary }) => summary).join('; ')}`)
    this.known = new Set(firing.map(({ alertId }) => alertId))
    this.panel.show(
      firing.length === 0 && h('p', { class: 'note good' }, 'Nothing is firing.'),
      h('ul', { class: 'alerts' }, [...firing, ...resolved].map(entry)),
    )
  }
}

function entry(alert) {
  const firing = alert.state === 'firing'
  const tone = firing ? (alert.severity === 'critical' ? 'bad' : 'warn') : ''
  const lasted = !firing && alert.resolvedAt && `, over after ${duration(Date.parse(alert.resolvedAt) - Date.parse(alert.startedAt))}`
  return h('li', {},
    h('span', { class: `tag ${tone}` }, firing ? alert.severity : 'resolved'),
    h('span', {}, alert.summary),
    h('span', { class: 'muted' }, h('code', {}, alert.rule), ` · since `, timeOf(alert.startedAt), lasted,
      ` · ${figure(alert.value)}, from ${figure(alert.threshold)} on`))
}
