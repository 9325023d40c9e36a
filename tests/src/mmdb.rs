//! A writer of MMDB files, as small as tests need: networks of IPv4 with country, city and coordinates.
//! Format: a binary tree of 24-bit records, sixteen zeros, data, a mark, metadata.

/// One network and what the file says of it.
#[derive(Clone, Debug)]
pub struct Network {
    /// First octets of the network; its prefix is eight bits for each.
    pub octets: Vec<u8>,
    /// ISO 3166-1 code.
    pub country: &'static str,
    /// City, empty for none.
    pub city: &'static str,
    /// Latitude in degrees.
    pub latitude: f64,
    /// Longitude in degrees.
    pub longitude: f64,
}

/// The bytes of a file of these networks.
pub fn write(networks: &[Network]) -> Vec<u8> {
    // Children of the nodes: nothing, another node, or an entry of the data.
    let mut nodes: Vec<[Option<Child>; 2]> = vec![[None, None]];
    let mut data = Vec::new();
    for network in networks {
        let offset = data.len();
        data.extend(entry(network));
        let bits: Vec<usize> = network
            .octets
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| usize::from(octet >> bit & 1)))
            .collect();
        let (last, path) = bits.split_last().expect("at least one octet");
        let mut node = 0;
        for bit in path {
            node = match nodes[node][*bit] {
                Some(Child::Node(next)) => next,
                Some(Child::Data(_)) => panic!("networks overlap"),
                None => {
                    nodes.push([None, None]);
                    let next = nodes.len() - 1;
                    nodes[node][*bit] = Some(Child::Node(next));
                    next
                }
            };
        }
        nodes[node][*last] = Some(Child::Data(offset));
    }
    let count = nodes.len();
    let record = |child: &Option<Child>| {
        let value = match child {
            None => count,
            Some(Child::Node(next)) => *next,
            Some(Child::Data(offset)) => count + 16 + offset,
        };
        u32::try_from(value).expect("a small file").to_be_bytes()[1..].to_vec()
    };
    let mut file: Vec<u8> = nodes.iter().flatten().flat_map(record).collect();
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xAB\xCD\xEFMaxMind.com");
    file.extend(metadata(count));
    file
}

#[derive(Clone, Copy)]
enum Child {
    Node(usize),
    Data(usize),
}

fn entry(network: &Network) -> Vec<u8> {
    let country = map(&[("iso_code", text(network.country))]);
    let location = map(&[
        ("latitude", double(network.latitude)),
        ("longitude", double(network.longitude)),
        ("accuracy_radius", number(5, 20)),
    ]);
    let mut members = vec![("country", country), ("location", location)];
    if !network.city.is_empty() {
        members.push(("city", map(&[("names", map(&[("en", text(network.city))]))])));
    }
    map(&members)
}

fn metadata(nodes: usize) -> Vec<u8> {
    let nodes = u32::try_from(nodes).expect("a small file");
    map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", [vec![4, 2], 1_800_000_000_u32.to_be_bytes().to_vec()].concat()),
        ("database_type", text("Test-City")),
        ("description", map(&[])),
        ("ip_version", number(5, 4)),
        ("languages", vec![0, 4]),
        ("node_count", [vec![0xC4], nodes.to_be_bytes().to_vec()].concat()),
        ("record_size", number(5, 24)),
    ])
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let size = u8::try_from(members.len()).expect("a small map");
    let mut bytes = vec![7 << 5 | size];
    for (name, value) in members {
        bytes.extend(text(name));
        bytes.extend(value);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let size = u8::try_from(text.len()).expect("a short text");
    assert!(size < 29, "{text} is longer than one byte of control tells");
    [&[2 << 5 | size], text.as_bytes()].concat()
}

fn double(value: f64) -> Vec<u8> {
    [&[3 << 5 | 8][..], &value.to_be_bytes()].concat()
}

/// A number of two bytes at most.
fn number(kind: u8, value: u16) -> Vec<u8> {
    [&[kind << 5 | 2][..], &value.to_be_bytes()].concat()
}
