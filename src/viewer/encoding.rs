//! gzip: who can take it, and making it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is shorter fits into a packet or two as it is.
const WORTH_IT: usize = 1024;

/// Once a start, for what never changes.
pub(super) fn gzip_well(bytes: &[u8]) -> Option<Vec<u8>> {
    gzip(bytes, Compression::best())
}

/// Every few seconds, for a document: it is a tenth of its size even so.
pub(super) fn gzip_fast(bytes: &[u8]) -> Option<Vec<u8>> {
    gzip(bytes, Compression::fast())
}

/// None where it is not worth it.
fn gzip(bytes: &[u8], effort: Compression) -> Option<Vec<u8>> {
    if bytes.len() < WORTH_IT {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), effort);
    // Writing to memory does not fail; were it to, the plain bytes are as good.
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Whether an `Accept-Encoding` allows gzip (RFC 9110, 12.5.3).
pub(super) fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let weight_of = |wanted: &str| {
        accept_encoding?.split(',').find_map(|listed| {
            let mut parts = listed.split(';').map(str::trim);
            if !parts.next()?.eq_ignore_ascii_case(wanted) {
                return None;
            }
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some(weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        })
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight: f32| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_who_allows_it() {
        for yes in ["gzip", "GZIP", "deflate, gzip;q=0.5", "br, *", "*;q=0.1", "identity;q=0, gzip"] {
            assert!(accepts_gzip(Some(yes)), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.0", "*, gzip;q=0", "*;q=0", "xgzip", "gzip;q=x"] {
            assert!(!accepts_gzip(Some(no)), "{no}");
        }
        assert!(!accepts_gzip(None));
    }
}
