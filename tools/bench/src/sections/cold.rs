//! Cold starts: from the start of the process until it asks for work, in turns with hello, with one TLS connection to Redis
//! and with one call of KMS, which are what a start consists of.

use std::time::Instant;

use shared::adapters::redis::connection::Connector;
use shared::clock;
use shared::config::RedisConfig;

use super::Notebook;
use crate::measurement::{Bound, Line, Measurement, Plot, Table, median, number, quantile_of};
use crate::process::cpu_time;
use crate::site;

/// Starts get-session and hello many times.
pub async fn run(notebook: &mut Notebook) {
    let stack = site::stack(|stack| stack.with_tls_redis()).await;
    let session = site::session(&stack, "ada").await;
    let event = site::read_event(&stack, &session.session_id);
    let spawns = notebook.size(40, 5);
    let connector = Connector::new(
        RedisConfig {
            urls: vec![format!("rediss://{}", stack.redis().tls_authority().expect("TLS"))],
            cluster: false,
            ca_pem: stack.redis().ca_file().map(|file| std::fs::read(file).expect("the authority")),
            iam: None,
            clock_may_differ: false,
        },
        None,
    );
    let key = stack.aws.kms.generate_data_key().key_id(&stack.aws.kms_key_id).number_of_bytes(32).send().await;
    let wrapped = key.expect("KMS answers").ciphertext_blob.expect("a wrapped key");

    let mut samples: [Vec<f64>; 7] = Default::default();
    for _ in 0..spawns {
        let [hellos, gets, handshakes, unwraps, hello_cpu, get_cpu, firsts] = &mut samples;
        let hello = integration_tests::Environment::spawn(site::specification(&stack, site::HELLO)).await;
        hellos.push(hello.ready().await.expect("hello starts").as_secs_f64() * 1e3);
        hello_cpu.push(cpu_time(hello.pid()).as_secs_f64() * 1e3);
        drop(hello);
        let get = integration_tests::Environment::spawn(site::specification(&stack, "get-session")).await;
        gets.push(get.ready().await.expect("get-session starts").as_secs_f64() * 1e3);
        get_cpu.push(cpu_time(get.pid()).as_secs_f64() * 1e3);
        let begun = Instant::now();
        site::invoke(&get, &event, 200).await;
        firsts.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(get);
        let begun = Instant::now();
        connector.connect(clock::now()).await.expect("Redis answers over TLS");
        handshakes.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let kms = stack.aws.kms.decrypt().key_id(&stack.aws.kms_key_id).ciphertext_blob(wrapped.clone());
        kms.send().await.expect("KMS answers");
        unwraps.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let [hellos, gets, handshakes, unwraps, hello_cpu, get_cpu, firsts] = &samples;

    let allowed = 1.5 * median(hellos) + median(handshakes) + median(unwraps);
    let figure = Measurement::of("cold start of get-session: spawn to ready", "ms", gets).must(Bound::AtMost(allowed));
    let figure =
        figure.floor("hello, ms", hellos).floor("TLS connection, ms", handshakes).floor("KMS call, ms", unwraps);
    notebook.measure(figure.note("the bound is 1.5 × hello + one TLS connection + one KMS call, medians of this run"));
    notebook.measure(
        Measurement::of("cold start: processor time until ready", "ms", get_cpu).floor("hello, ms", hello_cpu),
    );
    notebook.measure(Measurement::of("cold start: first read after ready", "ms", firsts));

    let mut table = Table::new("Milliseconds", &["", "lowest", "p50", "p90", "highest"]);
    let names = [
        "hello: ready",
        "get-session: ready",
        "TLS connection",
        "KMS call",
        "hello: processor",
        "get-session: processor",
        "get-session: first read",
    ];
    for (name, values) in names.iter().zip(&samples) {
        let at = |rank: f64| number(quantile_of(values, rank));
        table.row([(*name).to_owned(), at(0.0), at(0.5), at(0.9), at(1.0)]);
    }
    notebook.table(table);
    let line = |name: &str, values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let points = sorted.iter().enumerate();
        let points = points.map(|(place, value)| ((place + 1) as f64 * 100.0 / values.len() as f64, *value)).collect();
        Line { name: name.to_owned(), points }
    };
    notebook.plot(Plot {
        file: "cold".into(),
        title: "Cold start: spawn to ready".into(),
        x: "starts, %".into(),
        y: "ms".into(),
        logarithmic: false,
        lines: vec![line("get-session", gets), line("hello", hellos)],
    });
}
