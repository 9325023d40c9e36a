//! Forged access tokens (RFC 8725, T-21 to T-31). The signing key is taken from the stack, so that every forgery
//! differs from a good token in the one respect it is about.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::application::SessionTokens;
use integration_tests::{Stack, Value, json};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use shared::adapters::kms::Kms;
use shared::core::keyring::{KeyUse, Purpose};

use super::session_path;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Forge {
    pkcs8: Vec<u8>,
    public: Value,
    kid: String,
    claims: Value,
    good: String,
}

impl Forge {
    async fn of(stack: &Stack, session: &SessionTokens) -> Self {
        let item = stack.aws.dynamodb.get_item().table_name(&stack.aws.tables.keys);
        let item = item.key("purpose", aws_sdk_dynamodb::types::AttributeValue::S("token".to_owned())).send().await;
        let wrapped = item.expect("the keys").item.expect("the ring")["wrapped"].as_b().expect("bytes").clone();
        let kms = Kms::new(stack.aws.kms.clone(), stack.aws.kms_key_id.clone(), stack.name.clone());
        let ring = kms.unwrap_ring(Purpose::Token, wrapped.into_inner()).await.expect("the ring opens");
        let pkcs8 = ring.of(KeyUse::Sign).next().expect("a key").secret().expect("a secret").to_vec();
        let public = stack.request("GET", "/.well-known/jwks.json").send().await.json()["keys"][0].clone();
        let payload = session.access_token.split('.').nth(1).expect("a payload");
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON");
        let kid = public["kid"].as_str().expect("a kid").to_owned();
        Self { pkcs8, public, kid, claims, good: session.access_token.clone() }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.kid })
    }

    fn signed(&self, header: impl ToString, payload: impl ToString) -> String {
        self.signed_raw(&encode(header.to_string()), &encode(payload.to_string()))
    }

    fn signed_raw(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        format!("{message}.{}", encode(sign(&self.pkcs8, &message)))
    }

    fn with_header(&self, member: &str, value: Value) -> String {
        let mut header = self.header();
        header[member] = value;
        self.signed(header, &self.claims)
    }

    fn without_header(&self, member: &str) -> String {
        let mut header = self.header();
        header.as_object_mut().expect("an object").remove(member);
        self.signed(header, &self.claims)
    }

    fn with_claim(&self, member: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[member] = value;
        self.signed(self.header(), claims)
    }

    fn without_claim(&self, member: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().expect("an object").remove(member);
        self.signed(self.header(), claims)
    }
}

fn sign(pkcs8: &[u8], message: &str) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).expect("a key");
    pair.sign(&random, message.as_bytes()).expect("a signature").as_ref().to_vec()
}

/// Header variants: algorithm confusion, injected keys, wrong type.
fn forged_headers(forge: &Forge) -> Vec<(String, String)> {
    let mut forged = Vec::new();
    let mut add = |name: &str, token: String| forged.push((name.to_owned(), token));
    let message = |header: &Value| format!("{}.{}", encode(header.to_string()), encode(forge.claims.to_string()));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = forge.header();
        header["alg"] = json!(none);
        let unsigned = message(&header);
        add(&format!("alg {none:?}, no signature"), format!("{unsigned}."));
        add(&format!("alg {none:?}, old signature"), format!("{unsigned}.{}", forge.good.rsplit('.').next().unwrap()));
        add(&format!("alg {none:?}, signed"), forge.signed(&header, &forge.claims));
    }
    add("no signature", format!("{}.", message(&forge.header())));
    let component = |member: &str| URL_SAFE_NO_PAD.decode(forge.public[member].as_str().unwrap()).unwrap();
    let point = [vec![4], component("x"), component("y")].concat();
    let spki = [
        [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01].as_slice(),
        &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00],
        &point,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&spki)
    );
    let jwk = forge.public.to_string();
    for (name, secret) in
        [("x", component("x")), ("point", point), ("DER", spki), ("PEM", pem.into()), ("JWK", jwk.into())]
    {
        for (alg, hash) in [("HS256", ring::hmac::HMAC_SHA256), ("HS512", ring::hmac::HMAC_SHA512)] {
            let mut header = forge.header();
            header["alg"] = json!(alg);
            let message = message(&header);
            let tag = ring::hmac::sign(&ring::hmac::Key::new(hash, &secret), message.as_bytes());
            add(&format!("{alg} with the public key as {name}"), format!("{message}.{}", encode(tag)));
        }
    }
    for alg in ["RS256", "PS256", "ES384", "EdDSA", "HS256", "es256", "ES256 ", "unheard-of"] {
        add(&format!("alg {alg:?}"), forge.with_header("alg", json!(alg)));
    }
    for typ in ["JWT", "jwt", "at+jwt ", "AT+JWT", "application/jwt", "dpop+jwt", "logout+jwt", "id_token", ""] {
        add(&format!("typ {typ:?}"), forge.with_header("typ", json!(typ)));
    }
    let attacker = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let injected = |member: &str, value: Value| {
        let mut header = forge.header();
        header[member] = value;
        let message = message(&header);
        format!("{message}.{}", encode(sign(attacker.as_ref(), &message)))
    };
    for (member, value) in [
        ("jwk", forge.public.clone()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/key.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("x")),
        ("x5t#S256", json!("x")),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
    ] {
        add(&format!("{member}, signed by an attacker"), injected(member, value.clone()));
        add(&format!("{member}, signed by us"), forge.with_header(member, value));
    }
    for kid in ["", "unknown", "../../../etc/passwd", "' OR 1=1 --", "\u{0}", &"k".repeat(65)] {
        add(&format!("kid {kid:?}"), forge.with_header("kid", json!(kid)));
    }
    for member in ["kid", "typ", "alg"] {
        add(&format!("no {member}"), forge.without_header(member));
        add(&format!("{member} null"), forge.with_header(member, Value::Null));
        add(&format!("{member} number"), forge.with_header(member, json!(1)));
    }
    let twice = forge.header().to_string().replacen("{", "{\"alg\":\"none\",", 1);
    add("alg twice", forge.signed(twice, &forge.claims));
    let twice = forge.header().to_string().replacen("{", &format!("{{\"kid\":\"{}\",", forge.kid), 1);
    add("kid twice", forge.signed(twice, &forge.claims));
    add("attacker's key under our kid", {
        let message = message(&forge.header());
        format!("{message}.{}", encode(sign(attacker.as_ref(), &message)))
    });
    forged
}

/// Payload variants: other parties, times and types.
fn forged_claims(forge: &Forge) -> Vec<(String, String)> {
    let mut forged = Vec::new();
    let mut add = |name: String, token: String| forged.push((name, token));
    let now = forge.claims["iat"].as_i64().expect("a number");
    let issuer = forge.claims["iss"].as_str().expect("a text").to_owned();
    for (member, values) in [
        (
            "iss",
            vec![json!("https://other.example"), json!(format!("{issuer}/")), json!(issuer.to_uppercase()), json!("")],
        ),
        ("aud", vec![json!("other"), json!([forge.claims["aud"]]), json!([]), json!("")]),
        ("client_id", vec![json!("other"), json!("")]),
        ("sub", vec![json!(""), json!(7)]),
        ("sid", vec![json!(""), json!("ses_x"), json!(7), json!(["x"])]),
        ("exp", vec![json!(now - 31), json!(0), json!(-1), json!("9999999999"), json!(9999999999.5), json!(true)]),
        ("iat", vec![json!(now + 3600), json!(now.to_string()), json!(1.5)]),
    ] {
        for value in values {
            add(format!("{member} {value}"), forge.with_claim(member, value));
        }
        add(format!("no {member}"), forge.without_claim(member));
        add(format!("{member} null"), forge.with_claim(member, Value::Null));
    }
    let text = forge.claims.to_string();
    for member in ["sub", "sid", "exp", "aud", "acr"] {
        let value = forge.claims.get(member).cloned().unwrap_or(json!("x"));
        let twice = match forge.claims.get(member) {
            Some(_) => text.replacen('{', &format!("{{\"{member}\":{value},"), 1),
            None => text.replacen('{', &format!("{{\"{member}\":\"a\",\"{member}\":\"b\","), 1),
        };
        add(format!("{member} twice"), forge.signed(forge.header(), twice));
    }
    for payload in ["", "{}", "[]", "null", "\"x\"", "{", &format!("{text}{text}"), &format!("\u{feff}{text}")] {
        add(format!("payload {payload:.20}"), forge.signed(forge.header(), payload));
    }
    forged
}

/// Text variants: flipped, cut, padded, not canonical.
fn forged_texts(forge: &Forge) -> Vec<(String, String)> {
    let good = &forge.good;
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let mut forged: Vec<(String, String)> = [
        format!("{good}="),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}A"),
        format!("{good}%00"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{payload}.{header}.{signature}"),
        format!("{header}.{payload}.{}", encode([0; 64])),
        format!("{header}.{payload}.{}", encode([0xff; 64])),
        good.replace('-', "+").replace('_', "/") + "=",
    ]
    .into_iter()
    .enumerate()
    .map(|(index, token)| (format!("text {index}"), token))
    .collect();
    // The last character of 64 bytes has bits that do not count: every other value of them is refused.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&good[good.len() - 1..]).expect("base64url");
    for spare in 1..16 {
        let other = &alphabet[last ^ spare..][..1];
        forged.push((format!("trailing bits {spare}"), format!("{}{other}", &good[..good.len() - 1])));
    }
    let message = format!("{header}.{payload}");
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &forge.pkcs8, &random).expect("a key");
    let der = der.sign(&random, message.as_bytes()).expect("a signature");
    forged.push(("DER signature".to_owned(), format!("{message}.{}", encode(der))));
    let spaced = base64::engine::general_purpose::URL_SAFE.encode(forge.claims.to_string() + " ");
    forged.push((
        "padded payload, signed".to_owned(),
        forge.signed_raw(header, &format!("{}=", spaced.trim_end_matches('='))),
    ));
    for index in (0..good.len()).step_by(3) {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        forged.push((format!("byte {index}"), String::from_utf8(bytes).expect("ASCII")));
    }
    forged
}

#[tokio::test]
async fn t_21_to_t_31_forged_access_tokens_are_refused() {
    let stack = Stack::builder().with_environments(1).start().await;
    let session = stack.app.start_session("ada").await;
    let forge = Forge::of(&stack, &session).await;
    let path = session_path(&session.session_id);
    let get = |token: &str| stack.request("GET", &path).bearer(token).send();
    get(&forge.signed(forge.header(), &forge.claims)).await.expect(200);
    let all = [forged_headers(&forge), forged_claims(&forge), forged_texts(&forge)].concat();
    assert!(all.len() > 200, "{}", all.len());
    let mut accepted = Vec::new();
    for (name, token) in all {
        // Refused when cold and when the good token is remembered alike.
        let answer = get(&token).await;
        if (answer.status, answer.code().as_str()) != (401, "credential_invalid") {
            accepted.push(format!("{name}: {} {}", answer.status, answer.code()));
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    get(&session.access_token).await.expect(200);
}

#[tokio::test]
async fn tokens_of_another_stack_are_refused() {
    let (one, two) = tokio::join!(Stack::start(), Stack::start());
    let session = one.app.start_session("ada").await;
    let answer = two.request("GET", &session_path(&session.session_id)).bearer(&session.access_token).send().await;
    answer.expect_problem(401, "credential_invalid");
    two.app.refresh(&session.session_id, &session.refresh_token).await.expect_problem(401, "refresh_token_invalid");
    two.app.get(&session.session_id).await.expect_problem(404, "not_found");
}

/// T-26, T-27: whatever a header names, no key is fetched, neither from the place that it names nor from KMS or a table.
#[tokio::test]
async fn t_26_t_27_no_header_of_a_token_makes_a_function_fetch_a_key() {
    let stack = Stack::builder().with_clock().with_moto_proxy().with_environments(1).start().await;
    let session = stack.app.start_session("ada").await;
    let forge = Forge::of(&stack, &session).await;
    stack.clock().freeze();
    let bait = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    bait.set_nonblocking(true).expect("a listener that does not wait");
    let place = json!(format!("http://{}/keys", bait.local_addr().expect("an address")));
    let path = session_path(&session.session_id);
    let get = |token: &str| stack.request("GET", &path).bearer(token).send();
    // Warm: it has its keys, and has refused somebody.
    get(&session.access_token).await.expect(200);
    get(&forge.with_header("kid", json!("unknown"))).await.expect_problem(401, "credential_invalid");
    let before = stack.moto_proxy().counts();
    for number in 0..15 {
        let forged = [
            forge.with_header("kid", json!(format!("{number:043}"))),
            forge.with_header("jku", place.clone()),
            forge.with_header("x5u", place.clone()),
        ];
        for token in forged {
            get(&token).await.expect_problem(401, "credential_invalid");
        }
    }
    assert_eq!((stack.moto_proxy().counts() - before).round_trips, 0);
    assert!(bait.accept().is_err(), "somebody asked for a key where a header told it to");
}

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same token with the other signature that its message has: `n - s` in the place of `s`.
fn with_its_other_signature(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrow = 0;
    for place in (0..ORDER.len()).rev() {
        let difference = 256 + u16::from(ORDER[place]) - u16::from(bytes[32 + place]) - borrow;
        borrow = u16::from(difference < 256);
        bytes[32 + place] = u8::try_from(difference % 256).expect("a byte");
    }
    format!("{message}.{}", encode(bytes))
}

/// T-23: a token that was given another text without its key is the same token, so it ends with its session.
#[tokio::test]
async fn t_23_a_session_is_denied_by_its_id_and_never_by_the_text_of_a_token() {
    let stack = Stack::start().await;
    let session = stack.app.start_session("ada").await;
    let other = with_its_other_signature(&session.access_token);
    assert_ne!(other, session.access_token);
    let path = session_path(&session.session_id);
    let get = |token: &str| stack.request("GET", &path).bearer(token).send();
    get(&session.access_token).await.expect(200);
    get(&other).await.expect(200);
    stack.app.delete(&session.session_id).await.expect(204);
    for token in [&session.access_token, &other] {
        get(token).await.expect_problem(401, "session_ended");
        assert_eq!(stack.app.introspect(token).await.expect(200).json(), json!({ "active": false }));
    }
}
