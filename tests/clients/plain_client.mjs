// A client with a secret and Bearer tokens, by simple-oauth2: refresh and revocation.

import assert from 'node:assert/strict'
import { commonModule, createSession } from './modules.mjs'

const { AuthorizationCode } = commonModule('simple-oauth2')
const { ISSUER, CLIENT_ID, CLIENT_SECRET, AUTHORIZATION_METHOD } = process.env

const client = new AuthorizationCode({
  client: { id: CLIENT_ID, secret: CLIENT_SECRET },
  auth: { tokenHost: ISSUER, tokenPath: '/token', revokePath: '/revoke' },
  options: { authorizationMethod: AUTHORIZATION_METHOD },
  // The answer to a revocation has no body (RFC 7009 §2.2), which `strict`, the default, takes for no JSON.
  http: { json: true },
})

const session = await createSession({ userId: 'ada' })
const begun = client.createToken({
  access_token: session.accessToken,
  refresh_token: session.refreshToken,
  expires_in: session.expiresIn,
})
const next = await begun.refresh()
assert.equal(next.token.token_type, 'Bearer')
assert.notEqual(next.token.refresh_token, session.refreshToken)
assert.equal(next.expired(), false)
const third = await next.refresh()
await third.revoke('refresh_token')
await assert.rejects(third.refresh(), (error) => {
  assert.equal(error.data.payload.error, 'invalid_grant')
  assert.equal(error.data.payload.reason, 'token_revoked')
  return true
})
console.log('done')
