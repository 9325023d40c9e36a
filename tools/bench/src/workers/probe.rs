//! What reading costs Redis when sessions are many: the command of a read, of sessions drawn from all of them, and a bare
//! GET of the same records, in turns. Prints one line per round: microseconds of Redis per read, and per GET.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::adapters::redis::{keys, scripts};

use super::load;
use crate::process::Meter;
use crate::site;

const PIPELINE: usize = 16;
const ROUNDS: usize = 7;

/// Arguments of `bench probe`.
pub fn arguments(application: &str, total: u64, reads: usize) -> Vec<String> {
    ["probe", application, &total.to_string(), &reads.to_string()].map(str::to_owned).to_vec()
}

/// Reads sessions of the first `total`.
#[tokio::main(flavor = "current_thread")]
pub async fn run(arguments: &[&str]) {
    let [application, total, reads] = arguments else { panic!("usage: bench probe APPLICATION TOTAL READS") };
    let (total, reads): (u64, usize) = (total.parse().expect("a number"), reads.parse().expect("a number"));
    let service = super::service().await;
    let group = load::application(&service, application).await.group_id.clone();
    let client = redis::Client::open(std::env::var("REDIS_URL").expect("REDIS_URL")).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let pid = site::redis_pid(&mut connection).await;
    let mut random = StdRng::seed_from_u64(site::SEED);
    for _ in 0..ROUNDS {
        let mut pipelines = [Vec::new(), Vec::new()];
        for _ in 0..reads / PIPELINE {
            let (mut read, mut bare) = (redis::pipe(), redis::pipe());
            for _ in 0..PIPELINE {
                let (_, slot, session) = load::session(&service, &group, random.random_range(0..total)).await;
                read.add_command(scripts::read(&[session], slot));
                let (_, _, another) = load::session(&service, &group, random.random_range(0..total)).await;
                bare.cmd("GET").arg(keys::session(&another));
            }
            pipelines[0].push(read);
            pipelines[1].push(bare);
        }
        let mut costs = Vec::new();
        for pipelines in &pipelines {
            let meter = Meter::start(&[pid]);
            for pipeline in pipelines {
                let found: Vec<redis::Value> = pipeline.query_async(&mut connection).await.expect("Redis answers");
                let is_there = |value: &redis::Value| match value {
                    redis::Value::Array(values) => matches!(values.first(), Some(redis::Value::BulkString(_))),
                    value => matches!(value, redis::Value::BulkString(_)),
                };
                assert!(found.iter().all(is_there), "a session is missing");
            }
            costs.push(meter.micros() / (pipelines.len() * PIPELINE) as f64);
        }
        println!("{} {}", costs[0], costs[1]);
    }
}
