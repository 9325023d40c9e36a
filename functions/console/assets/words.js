// What events, ends and signals mean, in sentences.

const ENDINGS = {
  user: 'its holder signed out',
  admin: 'an application ended it',
  idle: 'it was not used within its idle timeout',
  absolute: 'its longest life was over, whatever the activity',
  evicted: 'the user began another session than the limit of concurrent sessions allows, and this one made room',
  reuse: 'a refresh token that had been used up came back: two parties held the same token, so one of them had copied it',
  revoke_all: 'all sessions of the user were ended at once',
  token_revoked: 'one of its tokens was revoked',
  device_removed: 'its device was logged out remotely, for good',
  device_blocked: 'its device was blocked',
  risk: 'its risk was judged too high',
  erased: 'the user and all of their data were erased',
}

const SIGNALS = {
  new_device: 'the user had never been seen with this device',
  fingerprint_drift: 'client, operating system or fingerprint were not those from before',
  network_change: 'the request came from another network than before',
  country_change: 'the request came from another country than before',
  impossible_travel: 'nobody travels that far in the time between the two requests',
  user_agent_downgrade: 'the client claimed an older version of itself than before',
  creation_burst: 'many sessions of the user began within minutes',
  recent_reuse: 'a used-up refresh token of this user had come back within the last day',
}

const VERDICTS = {
  allow: 'it was allowed',
  step_up: 'the user had to authenticate again before anything sensitive',
  quarantine: 'the session was quarantined until the user authenticates again',
  end: 'the session was ended',
}

const ACTORS = { application: 'an application', holder: 'the holder', service: 'the service' }

/** The filters of the security feed: label and event types. */
export const KINDS = {
  all: ['All security events', [
    'refresh.replayed', 'session.risk_raised', 'session.risk_shadowed', 'session.binding_refused', 'security.probing',
    'share.refused', 'lock.refused', 'session.key_refused', 'device.revoked', 'user.revoked',
  ]],
  replay: ['Replayed tokens', ['refresh.replayed']],
  risk: ['Risk', ['session.risk_raised', 'session.risk_shadowed', 'session.context_changed', 'session.stepped_up']],
  refused: ['Refusals', ['request.refused', 'session.binding_refused', 'share.refused', 'lock.refused', 'session.key_refused']],
  probing: ['Probing', ['security.probing']],
  revoked: ['Remote logouts', ['device.revoked', 'user.revoked']],
}

export const ending = (reason) => ENDINGS[reason] ?? `the reason was “${reason}”`
export const signal = (name) => SIGNALS[name]

/** What the risk engine noted: its verdict, the score and the signals. */
export function judgement(detail = []) {
  const score = detail.find((word) => word.startsWith('score='))?.slice('score='.length)
  return {
    verdict: detail.find((word) => word in VERDICTS),
    score: score === undefined ? undefined : Number(score),
    signals: detail.filter((word) => word in SIGNALS),
  }
}

function judged(event) {
  const { verdict, score, signals } = judgement(event.detail)
  const because = signals.length === 0 ? '' : `: ${list(signals.map(signal))}`
  return { outcome: VERDICTS[verdict] ?? 'it was noted', score: score === undefined ? '' : ` (score ${score} of 100)`, because }
}

/** `a, b and c`. */
export function list(parts) {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}

const whereFrom = ({ personal = {} }) => {
  const parts = [personal.deviceName ?? personal.deviceType, personal.client, personal.place ?? personal.country].filter(Boolean)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}

const SENTENCES = {
  'session.created': (event) => `The session began${whereFrom(event)}.`,
  'session.refreshed': () => 'Its tokens were refreshed.',
  'session.healed': () => 'A refresh token ahead of the record came: the store had lost a write, and the record moved forward.',
  'session.context_changed': (event) => `It went on in another context${judged(event).because}.`,
  'session.updated': () => 'Its data were changed.',
  'session.ended': (event) => `It ended: ${ending(event.reason)}.`,
  'refresh.replayed': () => 'A used-up refresh token was presented again.',
  'user.revoked': () => 'All sessions of the user were ended.',
  'session.risk_raised': (event) => {
    const { outcome, score, because } = judged(event)
    return `A request looked risky${score}, and ${outcome}${because}.`
  },
  'session.risk_shadowed': (event) => {
    const { score, because } = judged(event)
    return `A request looked risky${score}; in shadow mode that has no effect${because}.`
  },
  'session.binding_refused': () => 'A request from outside the network that the session is bound to was refused.',
  'device.registered': (event) => `A device was registered${whereFrom(event)}.`,
  'device.changed': () => 'A device was renamed, or its trust changed.',
  'device.revoked': () => 'A device was logged out remotely.',
  'device.data_changed': () => 'Data of a device were changed.',
  'user.state_changed': () => 'The state that the user’s devices share was changed.',
  'session.shared': () => 'It was shared with a related application.',
  'share.redeemed': () => 'The related application took the share.',
  'share.withdrawn': () => 'A share was withdrawn.',
  'share.refused': () => 'A code for a shared session was refused in the wrong hands.',
  'session.stepped_up': () => 'The user authenticated once more.',
  'session.locked': () => 'Its data were locked.',
  'session.unlocked': () => 'The lock was released.',
  'lock.refused': () => 'Somebody tried to release a lock that is not theirs.',
  'request.refused': (event) => `A request was refused${event.detail?.[0] ? ` (${event.detail[0]})` : ''}: ${event.reason}.`,
  'security.probing': () => 'An address asked for many things that do not exist.',
  'session.key_bound': () => 'It was bound to a key of the client’s device.',
  'session.key_refused': () => 'A second key tried to bind itself to the session.',
  'user.privacy_changed': () => 'The privacy settings of the user were changed.',
  'user.erased': () => 'The user was erased.',
}

/** One event as a sentence. */
export function sentence(event) {
  return SENTENCES[event.type]?.(event) ?? `${event.type}${event.reason ? `: ${event.reason}` : ''}.`
}

/** Who caused it. */
export const actor = (event) => ACTORS[event.actor] ?? event.actor

/** How grave an event is: the class of its mark, and a word for those who see no colours. */
export function weight(event) {
  const { verdict } = judgement(event.detail)
  if (event.type === 'refresh.replayed' || verdict === 'end' || verdict === 'quarantine') return ['bad', 'critical']
  if (event.type === 'session.ended' && ['reuse', 'risk', 'device_blocked'].includes(event.reason)) return ['bad', 'critical']
  if (event.type === 'session.risk_shadowed') return ['', 'shadow']
  if (/refused|probing|risk_raised/.test(event.type)) return ['warn', 'warning']
  if (event.type === 'session.created' || event.type === 'session.stepped_up' || event.type === 'session.key_bound') return ['good', 'info']
  return ['', 'info']
}
