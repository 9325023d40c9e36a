//! Places of addresses, from the MMDB file that the operator supplies. Read once, in init; no file, no places.

use crate::config::{ConfigError, GeoConfig};
use crate::core::context::ClientContext;
use crate::core::place::{ACCURACY_KM_DEFAULT, Place, Point};
use maxminddb::Reader;
use serde::Deserialize;
use std::net::IpAddr;

/// The file, when there is one.
pub struct Places(Option<Reader<Vec<u8>>>);

/// What is read of an entry: country and city databases of every vendor share these members.
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
    #[serde(borrow)]
    registered_country: Option<Country<'a>>,
    #[serde(borrow)]
    city: Option<City<'a>>,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct City<'a> {
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_radius: Option<u16>,
}

impl Places {
    /// Reads the file that the configuration names. One that is not an MMDB stops the start.
    pub fn new(config: GeoConfig) -> Result<Self, ConfigError> {
        let refuse = |problem: String| ConfigError { variable: "GEOIP_DATABASE", problem };
        let reader = config.database.map(Reader::from_source).transpose();
        reader.map(Places).map_err(|error| refuse(format!("is no MMDB file: {error}")))
    }

    /// Where a client is: what a proved edge has said, or else what the file knows. A file that is damaged inside gives
    /// no place, and so no signal.
    pub fn locate(&self, client: &ClientContext) -> Option<Place> {
        client.place.clone().or_else(|| self.look_up(client.address?))
    }

    fn look_up(&self, address: IpAddr) -> Option<Place> {
        let found = self.0.as_ref()?.lookup(address.to_canonical()).ok()?.decode::<Found<'_>>().ok()??;
        let country = found.country.and_then(|country| country.iso_code);
        let country = country.or_else(|| found.registered_country.and_then(|country| country.iso_code))?;
        let city = found.city.and_then(|city| city.names).and_then(|names| names.en);
        let (point, accuracy) = match found.location {
            Some(Location { latitude: Some(latitude), longitude: Some(longitude), accuracy_radius }) => {
                (Point::of(latitude, longitude), accuracy_radius)
            }
            Some(_) | None => (None, None),
        };
        Place::new(country, city, point, accuracy.unwrap_or(ACCURACY_KM_DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(bytes: Vec<u8>) -> Result<Places, ConfigError> {
        Places::new(GeoConfig { database: Some(bytes) })
    }

    #[test]
    fn a_broken_file_stops_the_start_and_names_the_variable() {
        for bytes in [Vec::new(), b"not an MMDB".to_vec()] {
            assert_eq!(places(bytes).err().map(|error| error.variable), Some("GEOIP_DATABASE"));
        }
        let none = Places::new(GeoConfig { database: None }).expect("no file is no error");
        let client = ClientContext { address: Some("192.0.2.1".parse().expect("an address")), ..Default::default() };
        assert_eq!(none.locate(&client), None);
    }

    proptest! {
        /// Whatever stands in the file, opening and looking up never panic.
        #[test]
        fn no_file_makes_the_reader_panic(tree in any::<Vec<u8>>(), metadata in any::<Vec<u8>>(), address in any::<[u8; 16]>()) {
            let mark = b"\xAB\xCD\xEFMaxMind.com";
            // A plausible map of metadata first, so that many files open.
            let plausible = b"\xE4\x4Anode_count\xC1\x02\x4Brecord_size\xA1\x18\x4Aip_version\xA1\x06\x4Ddatabase_type\x41x";
            for metadata in [metadata.as_slice(), plausible] {
                let bytes = [&tree, &mark[..], metadata].concat();
                if let Ok(places) = places(bytes) {
                    let client = ClientContext { address: Some(IpAddr::from(address)), ..Default::default() };
                    let _ = places.locate(&client);
                }
            }
        }
    }
}
