// Calls of the service. The credential lives in a private field: no storage, no cookie, no URL ever holds it.

const DEADLINE_MILLIS = 35_000

/** An answer that is no success, or no answer at all (`status` 0). */
export class Failure extends Error {
  constructor(status, problem = {}, retryAfter = 0) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`)
    this.status = status
    this.code = problem.code ?? ''
    this.detail = problem.detail ?? ''
    this.fields = problem.errors ?? []
    this.reason = problem.reason ?? ''
    this.retryAfter = retryAfter
  }

  /** API Gateway itself answers 404 to what is no route; the service's own 404 has a code. */
  get noRoute() {
    return this.status === 404 && this.code === ''
  }
}

export class Api {
  #credential
  #refused
  #ended = new AbortController()

  /** `refused` is called when the service takes the credential no longer. */
  constructor(credential, refused = () => {}) {
    this.#credential = credential
    this.#refused = refused
  }

  /** Forgets the credential and breaks off what is under way. */
  forget() {
    this.#credential = undefined
    this.#ended.abort()
  }

  get forgotten() {
    return this.#ended.signal.aborted
  }

  /** The JSON of a GET; parameters without a value are left out. */
  async get(path, parameters = {}) {
    return (await this.send('GET', path, { parameters })).body
  }

  /** Any other request: status, body and entity tag. */
  async send(method, path, { parameters = {}, body, headers = {} } = {}) {
    const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== ''))
    const url = query.size === 0 ? path : `${path}?${query}`
    let response
    try {
      response = await fetch(url, {
        method,
        headers: {
          authorization: `Bearer ${this.#credential}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        // Cookies are credentials of somebody else here, and a redirect would carry ours away.
        credentials: 'omit',
        redirect: 'error',
        cache: 'no-store',
        signal: AbortSignal.any([this.#ended.signal, AbortSignal.timeout(DEADLINE_MILLIS)]),
      })
    } catch {
      throw new Failure(0)
    }
    const text = await response.text()
    let document
    try {
      document = text === '' ? undefined : JSON.parse(text)
    } catch {
      throw new Failure(response.ok ? 0 : response.status)
    }
    if (response.ok) return { status: response.status, body: document, tag: response.headers.get('etag') }
    const failure = new Failure(response.status, document, Number(response.headers.get('retry-after')) || 0)
    if (response.status === 401 && failure.code !== 'insufficient_user_authentication') this.#refused(failure)
    throw failure
  }
}

/** What a failure means for whoever looks at the page. */
export function explain(failure) {
  if (!(failure instanceof Failure)) return `This page has a defect: ${failure.message}`
  if (failure.noRoute) return 'This deployment does not offer this.'
  switch (failure.status) {
    case 0: return 'The service can not be reached.'
    case 401: return failure.code === 'insufficient_user_authentication'
      ? 'This needs a recent sign-in.'
      : 'The credential is not accepted any more.'
    case 403: return failure.detail || 'This is not allowed with this credential.'
    case 404: return 'There is no such thing, or it is not visible to this application.'
    case 429: return `Too many requests; more are possible in ${failure.retryAfter || 60} s.`
    case 503: return 'A dependency of the service is away at the moment.'
    case 400: return failure.fields.map(({ field, detail }) => `${field} ${detail}`).join('; ') || failure.message
    default: return failure.detail || `The service answered ${failure.status}.`
  }
}

/** A segment of a path. */
export const segment = (text) => encodeURIComponent(text)
