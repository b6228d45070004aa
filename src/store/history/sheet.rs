use std::ops::Range;

/// Lines about services as they are on disk, in which those of one service are found without a look at the others. Unparsed,
/// a day of a thousand services is a tenth of what it is otherwise.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    bytes: Vec<u8>,
    /// Where each line is, by the key of its service; those of one in the order of the file.
    lines: Vec<Range<u32>>,
}

impl Sheet {
    /// What stands in these bytes. Lines that do not begin as ours do are passed over.
    pub(super) fn new(bytes: Vec<u8>) -> Sheet {
        let mut lines = Vec::new();
        let mut start = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let end = start + line.len();
            // What does not fit was longer than all that is ever read.
            if let (Some(_), Ok(from), Ok(until)) = (subject(line), u32::try_from(start), u32::try_from(end))
            {
                lines.push(from..until);
            }
            start = end;
        }
        lines.sort_by_key(|line| subject(&bytes[line.start as usize..line.end as usize]));
        lines.shrink_to_fit();
        Sheet { bytes, lines }
    }

    /// The lines about a service, in the order of the file.
    pub(super) fn of(&self, key: &str) -> impl ExactSizeIterator<Item = &[u8]> {
        let subject_of = |line: &Range<u32>| subject(self.line(line));
        let wanted = Some(key.as_bytes());
        let from = self.lines.partition_point(|line| subject_of(line) < wanted);
        let many = self.lines[from..].partition_point(|line| subject_of(line) == wanted);
        self.lines[from..from + many].iter().map(|line| self.line(line))
    }

    fn line(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }
}

/// The key of the service that a line is about. A key has letters, digits and `_-.` only, so nothing in it is escaped.
fn subject(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"service\":\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    (rest.get(end + 1) == Some(&b',')).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_service_are_found_in_their_order_and_no_others() {
        let text = "{\"service\":\"web\",2}\n{\"service\":\"we\",9}\nfoo\n{\"service\":\"web\",1}\n\n{\"service\":\"web";
        let sheet = Sheet::new(text.as_bytes().to_vec());
        let found = |key: &str| -> Vec<&str> {
            sheet.of(key).map(|line| std::str::from_utf8(line).unwrap().trim_end()).collect()
        };
        assert_eq!(found("web"), ["{\"service\":\"web\",2}", "{\"service\":\"web\",1}"]);
        assert_eq!(found("we"), ["{\"service\":\"we\",9}"]);
        for none in ["", "w", "webb", "foo", "web\",2"] {
            assert!(found(none).is_empty(), "{none}");
        }
    }
}
