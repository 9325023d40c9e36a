//! A month of sign-ins and requests, made from a seed: who, where, with what, and whether it is a theft.
//!
//! 200 users live in twelve cities. Each has a phone and most have a desktop, with a session each that is begun anew every
//! week or so. A day is a walk: home, a mobile network on the way (another prefix each time), work or a café, and back. A
//! fifth uses a VPN with exits in other countries and flips it without signing in. A seventh travels once: by air, at
//! 800 km/h and with two hours at the airports, or across the border by train. Browsers update every three weeks or so,
//! and one user in twenty buys a new device. A thief takes a token of one user in three, once, and uses it in one of five
//! ways, or signs in with the password.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use shared::core::context::ClientContext;
use shared::core::place::{Place, Point};

/// What happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Seconds since the month began.
    pub at: i64,
    /// Whose session.
    pub user: usize,
    /// Which of the user's devices holds the session, also when a thief uses it.
    pub device: usize,
    /// Sign-in or request.
    pub begins: bool,
    /// From where and with what.
    pub client: ClientContext,
    /// How it was stolen; `None` for the user.
    pub theft: Option<Theft>,
}

/// How a thief goes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theft {
    /// A stolen token in another country with another client.
    AbroadOtherClient,
    /// In another country, pretending to be the user's client.
    AbroadSameClient,
    /// In the user's country with another client.
    NearOtherClient,
    /// In the user's country, pretending to be the user's client: what roaming looks like, too.
    NearSameClient,
    /// On the user's own network with another client.
    SameNetworkOtherClient,
    /// A stolen password, used in another country.
    SignIn,
}

impl Theft {
    /// All of them.
    pub const ALL: [Theft; 6] = [
        Theft::AbroadOtherClient,
        Theft::AbroadSameClient,
        Theft::NearOtherClient,
        Theft::NearSameClient,
        Theft::SameNetworkOtherClient,
        Theft::SignIn,
    ];

    /// In the words of the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Theft::AbroadOtherClient => "token, another country, another client",
            Theft::AbroadSameClient => "token, another country, the user's client imitated",
            Theft::NearOtherClient => "token, the user's country, another client",
            Theft::NearSameClient => "token, the user's country, the user's client imitated",
            Theft::SameNetworkOtherClient => "token, the user's network, another client",
            Theft::SignIn => "password, another country, another client",
        }
    }
}

/// How many people.
pub const USERS: usize = 200;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Seed of the month.
pub const SEED: u64 = 2026;

const CITIES: [(&str, &str, f64, f64); 12] = [
    ("AT", "Vienna", 48.2, 16.4),
    ("AT", "Graz", 47.1, 15.4),
    ("DE", "Berlin", 52.5, 13.4),
    ("DE", "Munich", 48.1, 11.6),
    ("FR", "Paris", 48.9, 2.4),
    ("GB", "London", 51.5, -0.1),
    ("US", "New York", 40.7, -74.0),
    ("US", "Chicago", 41.9, -87.6),
    ("JP", "Tokyo", 35.7, 139.7),
    ("AU", "Sydney", -33.9, 151.2),
    ("BR", "Sao Paulo", -23.5, -46.6),
    ("IN", "Mumbai", 19.1, 72.9),
];

struct Walker {
    rng: StdRng,
    user: usize,
    home: usize,
    vpn: Option<usize>,
    devices: Vec<Device>,
    steps: Vec<Step>,
}

struct Device {
    kind: usize,
    major: u32,
}

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 Chrome/{}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/{}.0 Mobile Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7; rv:{}.0) Gecko/20100101 Firefox/{}.0",
];

/// The month in its order.
pub fn month() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..USERS).flat_map(walk).collect();
    steps.sort_by_key(|step| (step.at, step.user, step.device, step.theft));
    steps
}

fn walk(user: usize) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(SEED.wrapping_mul(1_000_003).wrapping_add(user as u64));
    let home = rng.random_range(0..CITIES.len());
    let vpn = rng.random_bool(0.2).then(|| (home + rng.random_range(1..CITIES.len())) % CITIES.len());
    let phone = Device { kind: rng.random_range(0..2), major: 120 };
    let mut devices = vec![phone];
    if rng.random_bool(0.7) {
        devices.push(Device { kind: rng.random_range(2..4), major: 120 });
    }
    let mut walker = Walker { rng, user, home, vpn, devices, steps: Vec::new() };
    walker.live();
    walker.be_robbed();
    walker.steps
}

impl Walker {
    fn live(&mut self) {
        let trip = self.rng.random_bool(1.0 / 7.0).then(|| self.rng.random_range(5..20));
        let mut away: Option<(usize, i64)> = None;
        for day in 0..30 {
            let midnight = day * DAY;
            if self.rng.random_bool(0.05) {
                let one = self.rng.random_range(0..self.devices.len());
                self.devices[one].major += 1;
            }
            if trip == Some(day) {
                let to = (self.home + self.rng.random_range(1..CITIES.len())) % CITIES.len();
                away = Some((to, day + self.rng.random_range(2..7)));
                self.fly(midnight, self.home, to);
                continue;
            }
            if let Some((from, until)) = away.filter(|(_, until)| *until == day) {
                self.fly(midnight, from, self.home);
                let _ = until;
                away = None;
                continue;
            }
            let city = away.map_or(self.home, |(city, _)| city);
            self.day(midnight, city, away.is_some());
            if self.rng.random_bool(0.05 / 30.0) {
                self.buy(midnight + 20 * HOUR);
            }
        }
    }

    /// Home, on the way, at work, on the way, home; the desktop in the evening.
    fn day(&mut self, midnight: i64, city: usize, travelling: bool) {
        let base = if travelling { 40 } else { 10 };
        let weekly = |day: i64, device: usize| (day + device as i64) % 7 == 0;
        let day = midnight / DAY;
        if weekly(day, 0) {
            self.step(midnight + 7 * HOUR, 0, true, city, base);
        }
        for (hour, network) in [(7, base), (8, 60), (9, 20), (12, 30), (17, 60), (19, base)] {
            let network = if network == 60 { 60 + self.rng.random_range(0..40) } else { network };
            let at = midnight + hour * HOUR + self.rng.random_range(60..1800);
            self.step(at, 0, false, city, network);
            if self.vpn.is_some() && self.rng.random_bool(0.2) {
                let (there, back) = (self.rng.random_range(60..600), self.rng.random_range(700..1700));
                self.step(at + there, 0, false, self.vpn.unwrap_or(city), 50);
                self.step(at + back, 0, false, city, network);
            }
        }
        for device in 1..self.devices.len() {
            let at = midnight + 20 * HOUR + self.rng.random_range(0..1800);
            let place = match self.vpn {
                Some(exit) if self.rng.random_bool(0.3) => (exit, 50),
                Some(_) | None => (city, base),
            };
            if weekly(day, device) {
                self.step(at, device, true, place.0, place.1);
            }
            self.step(at + 300, device, false, place.0, place.1);
            self.step(at + 3000, device, false, place.0, place.1);
        }
    }

    /// From one city to another as fast as an airline does it.
    fn fly(&mut self, midnight: i64, from: usize, to: usize) {
        let start = midnight + 8 * HOUR;
        let kilometres = point(from).distance_km(point(to));
        let hours = kilometres / 800.0 + 2.0;
        let arrival = start + (hours * 3600.0) as i64;
        self.step(start, 0, false, from, 45);
        self.step(arrival, 0, false, to, 60 + self.user % 7);
        self.step(arrival + HOUR, 0, false, to, 40);
    }

    fn buy(&mut self, at: i64) {
        self.devices.push(Device { kind: self.rng.random_range(0..4), major: 122 });
        let device = self.devices.len() - 1;
        self.step(at, device, true, self.home, 10);
        self.step(at + 600, device, false, self.home, 10);
    }

    fn step(&mut self, at: i64, device: usize, begins: bool, city: usize, network: usize) {
        let client = client(city, self.user, network, &agent(&self.devices[device]));
        self.steps.push(Step { at, user: self.user, device, begins, client, theft: None });
    }

    fn be_robbed(&mut self) {
        if !self.rng.random_bool(1.0 / 3.0) {
            return;
        }
        let theft = *Theft::ALL.choose(&mut self.rng).expect("six ways");
        let own: Vec<Step> = self.steps.iter().filter(|step| !step.begins && step.at > 10 * DAY).cloned().collect();
        let Some(victim) = own.choose(&mut self.rng).cloned() else { return };
        let abroad = (self.home + 1 + self.rng.random_range(1..CITIES.len() - 1)) % CITIES.len();
        let near = CITIES.iter().position(|city| city.0 == CITIES[self.home].0).unwrap_or(self.home);
        let own_agent = victim.client.user_agent.clone().unwrap_or_default();
        let other_agent = "python-requests/2.32";
        let thief = |city: usize, agent: &str| client(city, 9000 + self.user, 99, agent);
        let client = match theft {
            Theft::AbroadOtherClient | Theft::SignIn => thief(abroad, other_agent),
            Theft::AbroadSameClient => thief(abroad, &own_agent),
            Theft::NearOtherClient => thief(near, other_agent),
            Theft::NearSameClient => thief(near, &own_agent),
            Theft::SameNetworkOtherClient => {
                ClientContext { user_agent: Some(other_agent.into()), ..victim.client.clone() }
            }
        };
        let at = victim.at + self.rng.random_range(120..1200);
        self.steps.push(Step { at, begins: theft == Theft::SignIn, client, theft: Some(theft), ..victim });
    }
}

fn agent(device: &Device) -> String {
    AGENTS[device.kind].replace("{}", &device.major.to_string())
}

fn point(city: usize) -> Point {
    let (_, _, latitude, longitude) = CITIES[city];
    Point::of(latitude, longitude).expect("a point")
}

/// One prefix for each city, owner and kind of network.
fn client(city: usize, owner: usize, network: usize, agent: &str) -> ClientContext {
    let (country, name, ..) = CITIES[city];
    let address = std::net::Ipv4Addr::new(
        u8::try_from(20 + city).expect("few cities"),
        u8::try_from(owner % 251).expect("small"),
        u8::try_from(network + 100 * (owner / 9000)).expect("small"),
        7,
    );
    ClientContext {
        address: Some(address.into()),
        user_agent: Some(agent.to_owned()),
        place: Place::new(country, Some(name), Some(point(city)), 20),
        ..ClientContext::default()
    }
}
