// A public client with a key of its own, by oauth4webapi: RFC 8414 discovery, DPoP refresh with nonces, a DPoP call of
// the API, verification of an access token against the JWKS, introspection and revocation.

import assert from 'node:assert/strict'
import { createSession, esModule } from './modules.mjs'

const oauth = await esModule('oauth4webapi')
const { ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env
const options = { [oauth.allowInsecureRequests]: true }

const issuer = new URL(ISSUER)
const discovery = await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' })
const server = await oauth.processDiscoveryResponse(issuer, discovery)

const client = { client_id: CLIENT_ID }
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const session = await createSession({ userId: 'ada', data: { cart: [1] }, dpopJkt: await DPoP.calculateThumbprint() })
assert.equal(session.tokenType, 'DPoP')

/** Runs a request, once more when the server asks for a nonce: the handle remembers it. */
async function withNonce(request) {
  let asked = 0
  for (;;) {
    try {
      return { result: await request(), asked }
    } catch (error) {
      if (asked++ > 0 || !oauth.isDPoPNonceError(error)) throw error
    }
  }
}

async function refresh(refreshToken) {
  return withNonce(async () => {
    const response = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refreshToken, { ...options, DPoP })
    return oauth.processRefreshTokenResponse(server, client, response)
  })
}

const first = await refresh(session.refreshToken)
assert.equal(first.asked, 1, 'the policy requires a nonce, and the client learns it from the refusal')
assert.equal(first.result.token_type, 'dpop')
const second = await refresh(first.result.refresh_token)
assert.equal(second.asked, 0, 'every answer brings the next nonce')
const tokens = second.result

// A call of the API, and the same request again as a resource server of its own would verify it.
const url = new URL(`${ISSUER}/sessions/${session.session.sessionId}`)
let sent
const capture = (target, init) => {
  sent = new Request(target, { method: init.method, headers: init.headers })
  return fetch(target, init)
}
const { result: own } = await withNonce(() =>
  oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, undefined, {
    ...options,
    DPoP,
    [oauth.customFetch]: capture,
  }),
)
assert.equal(own.status, 200)
assert.deepEqual((await own.json()).data, { cart: [1] })
const claims = await oauth.validateJwtAccessToken(server, sent, CLIENT_ID, { ...options, requireDPoP: true })
assert.equal(claims.sub, 'ada')
assert.equal(claims.sid, session.session.sessionId)
assert.equal(claims.cnf.jkt, session.dpopJkt ?? (await DPoP.calculateThumbprint()))

// What a client with a secret does: introspection and revocation.
const authenticated = oauth.ClientSecretBasic(CLIENT_SECRET)
async function introspect(token) {
  const response = await oauth.introspectionRequest(server, client, authenticated, token, options)
  return oauth.processIntrospectionResponse(server, client, response)
}
const active = await introspect(tokens.access_token)
assert.equal(active.active, true)
assert.equal(active.token_type, 'DPoP')
assert.equal(active.cnf.jkt, claims.cnf.jkt)

const revocation = await oauth.revocationRequest(server, client, authenticated, tokens.refresh_token, options)
await oauth.processRevocationResponse(revocation)
assert.deepEqual(await introspect(tokens.access_token), { active: false })
await assert.rejects(refresh(tokens.refresh_token), (error) => {
  assert.equal(error.error, 'invalid_grant')
  assert.equal(error.cause.reason, 'token_revoked')
  return true
})
console.log('done')
