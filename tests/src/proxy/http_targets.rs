//! Reads the `X-Amz-Target` of every HTTP/1 request in a stream of client bytes.

/// More than any request head of an AWS client. A longer one means that the stream is not HTTP.
const HEAD_LIMIT: usize = 64 * 1024;

/// Follows one connection.
#[derive(Default)]
pub(super) struct TargetReader {
    head: Vec<u8>,
    /// Bytes of the current body still to come.
    body: usize,
}

impl TargetReader {
    /// Takes the next bytes and returns the targets of the requests whose heads they complete.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut targets = Vec::new();
        while !bytes.is_empty() {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                break;
            }
            let held = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                if self.head.len() > HEAD_LIMIT {
                    self.head.clear();
                }
                break;
            };
            bytes = &bytes[end + 4 - held..];
            let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
            self.head.clear();
            self.body = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            targets.extend(header(&head, "x-amz-target").map(str::to_owned));
        }
        targets
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
}
