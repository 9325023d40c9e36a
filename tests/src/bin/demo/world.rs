//! The functions of this checkout over the stores of a running `make dev`.

use std::collections::HashMap;
use std::sync::Arc;

use integration_tests::clock::Clock;
use integration_tests::environment::EnvironmentSpec;
use integration_tests::fleet::Fleet;
use integration_tests::gateway::Gateway;
use integration_tests::mmdb;
use integration_tests::request::Request;
use integration_tests::routes::RouteTable;
use integration_tests::stack::scheduled_event;
use integration_tests::template::Template;
use integration_tests::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::people;

/// What the demonstration talks to.
pub struct World {
    gateway: Arc<Gateway>,
    fleet: Arc<Fleet>,
    clock: Clock,
    offset: Duration,
    key: String,
    _places: tempfile::TempDir,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; `make demo` sets it while `make dev` runs"))
}

impl World {
    /// Over the stores that the environment names.
    pub async fn connect() -> Self {
        let places = tempfile::tempdir().expect("a temporary folder");
        let database = places.path().join("places.mmdb");
        std::fs::write(&database, mmdb::write(&people::networks())).expect("the places can be written");
        let mut given: HashMap<String, String> = std::env::vars().collect();
        given.insert("GEOIP_DATABASE".to_owned(), database.display().to_string());
        // The day that it tells of is over, and the stores of `make dev` live in the present.
        given.insert("REDIS_CLOCK_MAY_DIFFER".to_owned(), "true".to_owned());
        let clock = Clock::new();
        let dials = clock.clone();
        let fleet = Fleet::new(1, move |function, index| {
            let resource = Template::of_repository().function(function);
            let declared = resource.unwrap_or_else(|| panic!("template.yaml has no function {function}")).variables();
            let of_aws = given.keys().filter(|name| name.starts_with("AWS_")).cloned();
            let names = declared.keys().map(|name| (*name).to_string()).chain(of_aws);
            let names = names.chain(["REDIS_CLOCK_MAY_DIFFER".to_owned()]);
            let variables = names.filter_map(|name| Some((name.clone(), given.get(&name)?.clone()))).collect();
            let dial = Some(dials.dial(&format!("{function}/{index}")));
            EnvironmentSpec { variables, dial, ..EnvironmentSpec::new(function) }
        });
        let fleet = Arc::new(fleet);
        let public_url = variable("PUBLIC_URL");
        let domain = public_url.split("//").last().unwrap_or_default().to_owned();
        let routes = RouteTable::from_template(Template::of_repository());
        let gateway = Arc::new(Gateway::new(routes, Arc::clone(&fleet), &domain, Some(clock.clone())));
        let key = variable("SESSION_APPLICATION_KEY");
        World { gateway, fleet, clock, offset: Duration::ZERO, key, _places: places }
    }

    /// Sets the clock; it goes on from there.
    pub fn set_clock(&mut self, to: OffsetDateTime) {
        let offset = (to - OffsetDateTime::now_utc()).min(Duration::ZERO);
        self.clock.shift(offset - self.offset);
        self.offset = offset;
    }

    /// A request of the application.
    pub fn application(&self, method: &str, path: &str) -> Request {
        Request::new(&self.gateway, method, path).bearer(&self.key)
    }

    /// A request of anybody.
    pub fn anybody(&self, method: &str, path: &str) -> Request {
        Request::new(&self.gateway, method, path)
    }

    /// Runs a scheduled function.
    pub async fn run(&self, function: &str) -> Value {
        let outcome = self.fleet.invoke(function, &scheduled_event(json!({}))).await;
        outcome.unwrap_or_else(|error| panic!("{function}: {error}"))
    }
}
