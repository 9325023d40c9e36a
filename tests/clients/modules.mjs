// Finds the installed packages: they lie in a folder of their own, away from this one.

import { createRequire } from 'node:module'
import { webcrypto } from 'node:crypto'
import { pathToFileURL } from 'node:url'

// Node 18 has these, but not as globals.
globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey

const require = createRequire(pathToFileURL(`${process.env.CLIENTS_DIR}/`))

/** A CommonJS package. */
export const commonModule = (name) => require(name)

/** An ES module package. */
export const esModule = (name) => import(pathToFileURL(require.resolve(name)))

/** What a backend asks of the service before its client takes over: a session. */
export async function createSession(body) {
  const { ISSUER, APPLICATION_KEY } = process.env
  const response = await fetch(`${ISSUER}/sessions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${APPLICATION_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (response.status !== 201) throw new Error(`no session: ${response.status} ${await response.text()}`)
  return response.json()
}
