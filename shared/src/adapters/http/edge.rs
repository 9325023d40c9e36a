//! CloudFront in front of the API. Its headers are believed only when the request proves that it came through the
//! distribution, by a secret that CloudFront adds: anybody can send headers. T-90.

use crate::config::{Environment, origin_digest};
use crate::core::crypto;
use crate::core::place::{ACCURACY_KM_DEFAULT, Place, Point};
use lambda_http::http::HeaderMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

/// The digest of the secret of this environment's distribution. A malformed one stops the start elsewhere
/// ([`crate::service::runtime::Service::from_environment`]).
static ORIGIN: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| origin_digest(&Environment).ok().flatten());

/// What a proved edge says of the viewer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    /// The viewer's address.
    pub address: Option<IpAddr>,
    /// Where it is.
    pub place: Option<Place>,
}

/// The viewer of a request that came through this environment's distribution.
pub fn viewer(headers: &HeaderMap) -> Option<Viewer> {
    viewer_behind(headers, ORIGIN.as_ref()?)
}

fn viewer_behind(headers: &HeaderMap, origin: &[u8; 32]) -> Option<Viewer> {
    let single = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let secret = single("x-origin-verify")?;
    if !crypto::equal(&crypto::sha256(secret.as_bytes()), origin) {
        return None;
    }
    let degrees = |name: &str| single(name)?.parse::<f64>().ok();
    let point = Point::of(
        degrees("cloudfront-viewer-latitude").unwrap_or(f64::NAN),
        degrees("cloudfront-viewer-longitude").unwrap_or(f64::NAN),
    );
    let country = single("cloudfront-viewer-country");
    let city = single("cloudfront-viewer-city");
    Some(Viewer {
        address: single("cloudfront-viewer-address").and_then(address),
        place: country.and_then(|country| Place::new(country, city, point, ACCURACY_KM_DEFAULT)),
    })
}

/// `CloudFront-Viewer-Address`: address and port, an IPv6 address with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let plain = || text.rsplit_once(':').and_then(|(address, _)| address.parse().ok());
    text.parse::<SocketAddr>().map(|socket| socket.ip()).ok().or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn t_90_only_a_proved_edge_is_believed() {
        let origin = crypto::sha256(b"secret");
        let mut pairs = vec![
            ("cloudfront-viewer-address", "198.51.100.7:4711"),
            ("cloudfront-viewer-country", "AT"),
            ("cloudfront-viewer-city", "Vienna"),
            ("cloudfront-viewer-latitude", "48.20"),
            ("cloudfront-viewer-longitude", "16.37"),
        ];
        assert_eq!(viewer_behind(&headers(&pairs), &origin), None, "no proof");
        pairs.push(("x-origin-verify", "guess"));
        assert_eq!(viewer_behind(&headers(&pairs), &origin), None, "a wrong proof");
        pairs.pop();
        pairs.push(("x-origin-verify", "secret"));
        let viewer = viewer_behind(&headers(&pairs), &origin).expect("proved");
        assert_eq!(viewer.address, "198.51.100.7".parse().ok());
        assert_eq!(viewer.place.map(|place| place.name).as_deref(), Some("Vienna, AT"));
        pairs.push(("x-origin-verify", "secret"));
        assert_eq!(viewer_behind(&headers(&pairs), &origin), None, "said twice");
    }

    #[test]
    fn addresses_of_viewers_are_read() {
        for (text, expected) in [
            ("198.51.100.7:4711", Some("198.51.100.7")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8:0:0:0:0:0:1:443", Some("2001:db8::1")),
            ("198.51.100.7", None),
            ("x:1", None),
        ] {
            assert_eq!(address(text), expected.map(|text| text.parse().expect("an address")), "{text}");
        }
    }
}
