// A session server of express, express-session and connect-redis: `node server.mjs default|best REDIS_URL PORT`.
//
// `POST /` begins a session with the JSON body as its data, `GET /` answers with the data of the session.
// `default`: the settings that the documentation shows; each read is GET, then EXPIRE.
// `best`: no EXPIRE on reads, no entity tags, no x-powered-by: what a read needs at least.

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

const [mode, url, port] = process.argv.slice(2);
if (!["default", "best"].includes(mode)) {
  throw new Error(`unknown mode: ${mode}`);
}
const best = mode === "best";
const client = await createClient({ url }).connect();
const app = express();
if (best) {
  app.disable("etag");
  app.disable("x-powered-by");
}
app.use(
  session({
    store: new RedisStore({ client, prefix: `express-${mode}:`, disableTouch: best }),
    secret: "a secret of the benchmark",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 86_400_000 },
  }),
);
app.post("/", express.json(), (request, response) => {
  request.session.data = request.body;
  response.status(201).end();
});
app.get("/", (request, response) => {
  if (request.session.data === undefined) {
    response.status(401).end();
    return;
  }
  response.json(request.session.data);
});
app.listen(Number(port), "127.0.0.1");
