//! The header `traceparent`.

use fanpool::connect::Message;
use fanpool::trace::{TraceParent, TraceParentError};

/// What the Recommendation says, read from it once more: trace id, parent id, and the flags that are known.
fn second_opinion(header: &[u8]) -> Option<(u128, u64, u8)> {
    let text = std::str::from_utf8(header.get(..55)?).ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if lengths != [2, 32, 16, 2] || !lower || parts[0] == "ff" {
        return None;
    }
    let first = parts[0] == "00";
    let ends = header.len() == 55 || !first && header[55] == b'-';
    let trace = u128::from_str_radix(parts[1], 16).ok()?;
    let parent = u64::from_str_radix(parts[2], 16).ok()?;
    let flags = u8::from_str_radix(parts[3], 16).ok()? & if first { 3 } else { 1 };
    (ends && trace != 0 && parent != 0).then_some((trace, parent, flags))
}

pub(crate) fn traceparent(data: &[u8]) {
    let read = TraceParent::try_from(data);
    let expected = second_opinion(data);
    assert_eq!(read.ok().map(|it| (it.trace_id(), it.parent_id())), expected.map(|it| (it.0, it.1)));
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(text.parse::<TraceParent>(), read);
    }
    assert_eq!(Message::new("").with_header("traceparent", data).trace(), read.ok());
    match read {
        Ok(read) => {
            let (trace, parent, flags) = expected.unwrap();
            let written = read.to_string();
            assert_eq!(written, format!("00-{trace:032x}-{parent:016x}-{flags:02x}"));
            assert_eq!(written.parse(), Ok(read));
            assert_eq!(read.is_sampled(), flags & 1 == 1);
            let child = read.child();
            assert_eq!((child.trace_id(), child.is_sampled()), (trace, read.is_sampled()));
            assert_ne!(child.parent_id(), parent);
        }
        Err(error) => {
            // What it says is at fault is there.
            match error {
                TraceParentError::NotHex { at, found } => {
                    assert!(data[at] == found && !matches!(found, b'0'..=b'9' | b'a'..=b'f'));
                }
                TraceParentError::NotDash { at, found } => assert!(data[at] == found && found != b'-'),
                TraceParentError::Length { found } => assert!(found == data.len() && found != 55),
                TraceParentError::Version => assert_eq!(data[..2], *b"ff"),
                TraceParentError::ZeroTraceId => assert_eq!(data[3..35], [b'0'; 32]),
                TraceParentError::ZeroParentId => assert_eq!(data[36..52], [b'0'; 16]),
                other => panic!("an error that is not known here: {other}"),
            }
            assert!(error.to_string().is_ascii());
        }
    }
}
