//! Where an address is, as coarsely as a judgement needs it: country, a name for people, and coordinates on a grid of
//! half degrees (at most 40 km off). Finer coordinates are never kept.

/// Kilometres that rounding to the grid may add to a distance, both ends together.
const GRID_KM: f64 = 80.0;
/// Kilometres that a locator is off when it does not say.
pub const ACCURACY_KM_DEFAULT: u16 = 100;
/// Bytes of a name as kept.
const NAME_BYTES_MAX: usize = 64;
/// Mean radius of the Earth in kilometres.
const RADIUS_KM: f64 = 6371.0;
const NOWHERE: i16 = i16::MIN;

/// A point on the grid, in half degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// −180 to 180: the South Pole to the North Pole.
    pub latitude: i16,
    /// −360 to 360, east positive.
    pub longitude: i16,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 code, `AT`.
    pub country: [u8; 2],
    /// Coordinates, when the locator gave any.
    pub point: Option<Point>,
    /// A name for people, `Vienna, AT`.
    pub name: String,
    /// How far off the coordinates may be, in kilometres; not kept in records.
    pub accuracy_km: u16,
}

impl Point {
    /// The grid point nearest to coordinates in degrees; `None` for what lies on no globe.
    pub fn of(latitude: f64, longitude: f64) -> Option<Self> {
        let on_grid = |degrees: f64, most: f64| (degrees.abs() <= most).then(|| (degrees * 2.0).round() as i16);
        Some(Point { latitude: on_grid(latitude, 90.0)?, longitude: on_grid(longitude, 180.0)? })
    }

    /// Great-circle distance in kilometres.
    pub fn distance_km(self, other: Point) -> f64 {
        let radians = |half_degrees: i16| (f64::from(half_degrees) / 2.0).to_radians();
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let half = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
        let longitude = half(radians(self.longitude), radians(other.longitude));
        let chord = half(from, to) + from.cos() * to.cos() * longitude;
        2.0 * RADIUS_KM * chord.sqrt().clamp(0.0, 1.0).asin()
    }

    fn bytes(point: Option<Point>) -> [u8; 4] {
        let Point { latitude, longitude } = point.unwrap_or(Point { latitude: NOWHERE, longitude: NOWHERE });
        let (a, b) = (latitude.to_be_bytes(), longitude.to_be_bytes());
        [a[0], a[1], b[0], b[1]]
    }

    fn read(bytes: [u8; 4]) -> Option<Point> {
        let latitude = i16::from_be_bytes([bytes[0], bytes[1]]);
        let longitude = i16::from_be_bytes([bytes[2], bytes[3]]);
        ((-180..=180).contains(&latitude) && (-360..=360).contains(&longitude)).then_some(Point { latitude, longitude })
    }
}

impl Place {
    /// A place with its name made up of city and country; `None` unless the country is a two-letter code.
    pub fn new(country: &str, city: Option<&str>, point: Option<Point>, accuracy_km: u16) -> Option<Self> {
        let code: [u8; 2] = country.as_bytes().try_into().ok()?;
        if !code.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        let city = city.map(|city| city.chars().filter(|c| !c.is_control()).collect::<String>());
        let name = match city.filter(|city| !city.is_empty()) {
            Some(city) => format!("{}, {country}", &city[..city.floor_char_boundary(NAME_BYTES_MAX - 4)]),
            None => country.to_owned(),
        };
        Some(Place { country: code, point, name, accuracy_km })
    }

    /// The bytes of a record's attribute: country, grid point, name.
    pub fn encode(&self) -> Vec<u8> {
        [&self.country[..], &Point::bytes(self.point), self.name.as_bytes()].concat()
    }

    /// Reads [`Place::encode`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (country, rest) = bytes.split_first_chunk::<2>()?;
        let (point, name) = rest.split_first_chunk::<4>()?;
        Some(Place {
            country: *country,
            point: Point::read(*point),
            name: std::str::from_utf8(name).ok()?.to_owned(),
            accuracy_km: ACCURACY_KM_DEFAULT,
        })
    }

    /// Country and grid point as a history keeps them.
    pub fn mark(place: Option<&Place>) -> [u8; 6] {
        let mut mark = [0; 6];
        mark[..2].copy_from_slice(&place.map_or([0; 2], |place| place.country));
        mark[2..].copy_from_slice(&Point::bytes(place.and_then(|place| place.point)));
        mark
    }

    /// Reads [`Place::mark`]; the name is the country's code.
    pub fn of_mark(mark: [u8; 6]) -> Option<Self> {
        let code = std::str::from_utf8(&mark[..2]).ok()?;
        Place::new(code, None, Point::read([mark[2], mark[3], mark[4], mark[5]]), ACCURACY_KM_DEFAULT)
    }
}

/// The speed beyond which nobody travels, in kilometres per hour: an airliner with the wind behind it.
pub const TRAVEL_KM_PER_HOUR: f64 = 900.0;
/// Distances up to this are no travel, in kilometres.
pub const TRAVEL_KM_MIN: f64 = 100.0;

/// Whether nobody can have gone from one place to the other in that time. The benefit of every inaccuracy goes to the
/// traveller.
pub fn impossible_travel(from: &Place, to: &Place, seconds: i64) -> bool {
    let (Some(start), Some(end)) = (from.point, to.point) else { return false };
    let slack = f64::from(from.accuracy_km) + f64::from(to.accuracy_km) + GRID_KM;
    let distance = start.distance_km(end) - slack;
    distance > TRAVEL_KM_MIN && distance > TRAVEL_KM_PER_HOUR * (seconds.max(0) as f64) / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(latitude: f64, longitude: f64) -> Place {
        Place::new("AT", Some("Vienna"), Point::of(latitude, longitude), 20).expect("a place")
    }

    #[test]
    fn travel_is_impossible_above_the_speed_of_an_airliner() {
        let (vienna, sydney, linz) = (place(48.2, 16.37), place(-33.87, 151.21), place(48.3, 14.29));
        let kilometres = vienna.point.expect("a point").distance_km(sydney.point.expect("a point"));
        assert!((15_900.0..16_100.0).contains(&kilometres), "{kilometres}");
        assert!(impossible_travel(&vienna, &sydney, 3600));
        assert!(impossible_travel(&vienna, &sydney, 17 * 3600));
        assert!(!impossible_travel(&vienna, &sydney, 18 * 3600));
        assert!(!impossible_travel(&vienna, &linz, 0), "too near to be travel");
        let somewhere = Place::new("AU", None, None, 20).expect("a place");
        assert!(!impossible_travel(&vienna, &somewhere, 0), "a country alone proves nothing");
    }

    #[test]
    fn places_read_back_and_what_is_no_place_is_refused() {
        let vienna = Place { accuracy_km: ACCURACY_KM_DEFAULT, ..place(48.2, 16.37) };
        assert_eq!(vienna.name, "Vienna, AT");
        assert_eq!(Place::decode(&vienna.encode()), Some(vienna.clone()));
        let coarse = Place::of_mark(Place::mark(Some(&vienna))).expect("a place");
        assert_eq!((coarse.country, coarse.point, coarse.name.as_str()), (vienna.country, vienna.point, "AT"));
        assert_eq!(Place::of_mark(Place::mark(None)), None);
        for country in ["", "A", "at", "AUT", "ÄT"] {
            assert_eq!(Place::new(country, None, None, 1), None, "{country}");
        }
        assert_eq!(Point::of(90.1, 0.0), None);
        assert_eq!(Point::of(f64::NAN, 0.0), None);
        let long = Place::new("AT", Some(&"ä".repeat(100)), None, 1).expect("a place");
        assert!(long.name.len() <= NAME_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn distances_are_those_of_a_globe(a in -180_i16..=180, b in -360_i16..=360, c in -180_i16..=180, d in -360_i16..=360) {
            let (one, other) = (Point { latitude: a, longitude: b }, Point { latitude: c, longitude: d });
            let there = one.distance_km(other);
            prop_assert!((0.0..=20_020.0).contains(&there));
            prop_assert!((there - other.distance_km(one)).abs() < 1e-6);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>(), mark in any::<[u8; 6]>()) {
            let _ = Place::decode(&bytes);
            let _ = Place::of_mark(mark);
        }
    }
}
