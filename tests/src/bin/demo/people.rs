//! Who uses the demonstration, from where and with what. Addresses are private ones, which belong to nobody; the file that
//! places them is written for the occasion.

use integration_tests::mmdb::Network;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const NAMES: [&str; 40] = [
    "ada",
    "alan",
    "amara",
    "anders",
    "aiko",
    "bao",
    "barbara",
    "carlos",
    "chidi",
    "dana",
    "edsger",
    "elif",
    "emil",
    "farah",
    "grace",
    "hedy",
    "ines",
    "ivan",
    "jamal",
    "joan",
    "kai",
    "katherine",
    "leon",
    "lin",
    "mei",
    "mina",
    "nadia",
    "noor",
    "olga",
    "omar",
    "priya",
    "radia",
    "rosa",
    "sana",
    "sofia",
    "tariq",
    "tim",
    "vera",
    "yusuf",
    "zoe",
];

/// Second octet of a network, country, city, latitude, longitude, and how many of a hundred people live there.
const HOMES: [(u8, &str, &str, f64, f64, u32); 12] = [
    (10, "AT", "Vienna", 48.2, 16.4, 22),
    (11, "DE", "Berlin", 52.5, 13.4, 20),
    (12, "FR", "Paris", 48.9, 2.4, 12),
    (13, "GB", "London", 51.5, -0.1, 10),
    (14, "US", "New York", 40.7, -74.0, 12),
    (15, "US", "Seattle", 47.6, -122.3, 5),
    (16, "IN", "Pune", 18.5, 73.9, 6),
    (17, "JP", "Osaka", 34.7, 135.5, 4),
    (18, "BR", "Recife", -8.0, -34.9, 3),
    (19, "ZA", "Durban", -29.9, 31.0, 2),
    (20, "NP", "Kathmandu", 27.7, 85.3, 2),
    (21, "ES", "Valencia", 39.5, -0.4, 2),
];

/// Device type, name, user agent, weight.
const DEVICES: [(&str, &str, &str, u32); 6] = [
    (
        "desktop",
        "Work computer",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
        32,
    ),
    ("desktop", "Laptop", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", 12),
    (
        "desktop",
        "MacBook",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/26.0 Safari/605.1.15",
        14,
    ),
    (
        "phone",
        "Phone",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Mobile/15E148 Safari/604.1",
        24,
    ),
    (
        "phone",
        "Android phone",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
        14,
    ),
    (
        "tablet",
        "Tablet",
        "Mozilla/5.0 (iPad; CPU OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Mobile/15E148 Safari/604.1",
        4,
    ),
];

/// Where and with what somebody is.
#[derive(Clone)]
pub struct Client {
    /// `deviceId`.
    pub device_id: String,
    /// A name for people.
    pub name: &'static str,
    /// Kind of device.
    pub kind: &'static str,
    /// `User-Agent`.
    pub user_agent: &'static str,
    /// Source address.
    pub address: String,
}

/// Somebody with one to three devices at home.
pub struct Person {
    /// `userId`.
    pub user_id: String,
    /// What they use.
    pub clients: Vec<Client>,
}

/// An address of a network.
pub fn address(random: &mut StdRng, network: u8) -> String {
    format!("10.{network}.{}.{}", random.random_range(0..200), random.random_range(1..255))
}

fn weighted<'a, T>(random: &mut StdRng, of: &'a [T], weight: impl Fn(&T) -> u32) -> &'a T {
    of.choose_weighted(random, weight).expect("weights")
}

/// So many people.
pub fn population(random: &mut StdRng, count: usize) -> Vec<Person> {
    let person = |number: usize| {
        let name = NAMES[number % NAMES.len()];
        let user_id =
            if number < NAMES.len() { name.to_owned() } else { format!("{name}-{}", number / NAMES.len() + 1) };
        let (network, ..) = *weighted(random, &HOMES, |home| home.5);
        let home = address(random, network);
        let devices = random.random_range(1..=3);
        let clients = (0..devices).map(|device| {
            let (kind, name, user_agent, _) = *weighted(random, &DEVICES, |device| device.3);
            Client { device_id: format!("{user_id}-{device}"), name, kind, user_agent, address: home.clone() }
        });
        Person { clients: clients.collect(), user_id }
    };
    (0..count).map(person).collect()
}

/// The places of the networks.
pub fn networks() -> Vec<Network> {
    let network = |(octet, country, city, latitude, longitude, _): &(u8, &'static str, &'static str, f64, f64, u32)| {
        Network { octets: vec![10, *octet], country, city, latitude: *latitude, longitude: *longitude }
    };
    HOMES.iter().map(network).collect()
}

/// A network on another continent than most.
pub const ABROAD: u8 = 17;
