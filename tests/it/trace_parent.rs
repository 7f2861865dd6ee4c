//! The header `traceparent`: what the W3C Recommendation "Trace Context" (levels 1 and 2) allows, and that everything else is an error.

use super::map_property::SplitMix64;
use fanpool::trace::{TraceParent, TraceParentError};
use std::collections::HashSet;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parse(header: impl AsRef<[u8]>) -> Result<TraceParent, TraceParentError> {
    TraceParent::try_from(header.as_ref())
}

/// The good header with other bytes at a place.
fn with(at: usize, bytes: &str) -> Vec<u8> {
    let mut header = GOOD.as_bytes().to_vec();
    header.splice(at..(at + bytes.len()).min(header.len()), bytes.bytes());
    header
}

#[test]
fn what_the_recommendation_allows_is_read_and_written_as_version_00() {
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    let parent = 0x00f0_67aa_0ba9_02b7;
    let cases = [
        (GOOD.as_bytes().to_vec(), "01"),
        (with(53, "00"), "00"),
        (with(53, "02"), "02"),
        (with(53, "03"), "03"),
        // Flags that are not defined are not passed on.
        (with(53, "ff"), "03"),
        (with(53, "08"), "00"),
        // A later version, as long as this one, and longer.
        (with(0, "01"), "01"),
        (with(0, "cc"), "01"),
        (with(0, "fe"), "01"),
    ];
    for (header, flags) in cases {
        let text = String::from_utf8(header).unwrap();
        let parsed = text.parse::<TraceParent>().unwrap();
        assert_eq!((parsed.trace_id(), parsed.parent_id()), (trace, parent), "{text}");
        assert_eq!(parsed.to_string(), format!("00-{trace:032x}-{parent:016x}-{flags}"), "{text}");
        assert_eq!(parsed.is_sampled(), flags.ends_with(['1', '3']), "{text}");
    }
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what comes later\u{e4}";
    assert_eq!(parse(later).unwrap().to_string(), GOOD);
    assert_eq!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-").unwrap().to_string(), GOOD);
}

#[test]
fn what_is_wrong_is_said() {
    use TraceParentError as E;
    let cases = [
        (Vec::new(), E::Length { found: 0 }),
        (b"00".to_vec(), E::Length { found: 2 }),
        (format!("{GOOD}-").into_bytes(), E::Length { found: 56 }),
        (format!("{GOOD} ").into_bytes(), E::Length { found: 56 }),
        (format!(" {GOOD}").into_bytes(), E::NotHex { at: 0, found: b' ' }),
        (format!("{GOOD}-later").into_bytes(), E::Length { found: 61 }),
        ([with(0, "01"), b".".to_vec()].concat(), E::NotDash { at: 55, found: b'.' }),
        ([with(0, "01"), b"0".to_vec()].concat(), E::NotDash { at: 55, found: b'0' }),
        (with(0, "ff"), E::Version),
        (with(0, "FF"), E::NotHex { at: 0, found: b'F' }),
        (with(0, "0x"), E::NotHex { at: 1, found: b'x' }),
        (with(2, "_"), E::NotDash { at: 2, found: b'_' }),
        (with(3, "G"), E::NotHex { at: 3, found: b'G' }),
        (with(34, "A"), E::NotHex { at: 34, found: b'A' }),
        (with(34, "+"), E::NotHex { at: 34, found: b'+' }),
        (with(35, "0"), E::NotDash { at: 35, found: b'0' }),
        (with(36, "-"), E::NotHex { at: 36, found: b'-' }),
        (with(52, "a"), E::NotDash { at: 52, found: b'a' }),
        (with(53, "0."), E::NotHex { at: 54, found: b'.' }),
        (with(54, "\u{e4}")[..55].to_vec(), E::NotHex { at: 54, found: 0xc3 }),
        (with(3, &"0".repeat(32)), E::ZeroTraceId),
        (with(36, &"0".repeat(16)), E::ZeroParentId),
    ];
    let mut texts = HashSet::new();
    for (header, error) in cases {
        assert_eq!(parse(&header), Err(error), "{}", header.escape_ascii());
        texts.insert(error.to_string());
    }
    assert!(texts.iter().all(|text| text.contains("traceparent") && text.is_ascii()));
    assert_eq!(TraceParent::new(0, 1, true), Err(E::ZeroTraceId));
    assert_eq!(TraceParent::new(1, 0, true), Err(E::ZeroParentId));
}

#[test]
fn truncations_are_refused() {
    for len in 0..GOOD.len() {
        assert_eq!(parse(&GOOD[..len]), Err(TraceParentError::Length { found: len }));
    }
}

#[test]
fn upper_case_is_refused_wherever_it_stands() {
    for (at, byte) in GOOD.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_lowercase()) {
        let mut header = GOOD.as_bytes().to_vec();
        header[at] = byte.to_ascii_uppercase();
        assert_eq!(parse(&header), Err(TraceParentError::NotHex { at, found: header[at] }));
    }
}

#[test]
fn no_byte_but_those_that_are_allowed_is_read_anywhere() {
    for at in 0..GOOD.len() {
        for byte in 0..=u8::MAX {
            let mut header = GOOD.as_bytes().to_vec();
            header[at] = byte;
            let dash = [2, 35, 52].contains(&at);
            let allowed = if dash { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') };
            assert_eq!(parse(&header).is_ok(), allowed, "{}", header.escape_ascii());
        }
    }
}

#[test]
fn random_bytes_are_errors() {
    let r = &mut SplitMix64(1);
    let mut read = 0;
    for _ in 0..10_000 {
        let len = [r.below(200), 55, 56][r.below(3)];
        // Bytes of the good header, of its alphabet, and any.
        let likeness = r.below(3);
        let header: Vec<u8> = (0..len)
            .map(|at| match (likeness, GOOD.as_bytes().get(at)) {
                (0, Some(good)) if r.below(100) > 0 => *good,
                (0 | 1, _) => b"0123456789abcdef-"[r.below(17)],
                _ => r.next() as u8,
            })
            .collect();
        if let Ok(parsed) = parse(&header) {
            // It was like the good one; then what was read is what was there.
            read += 1;
            assert_eq!(&parsed.to_string().as_bytes()[3..52], &header[3..52], "{}", header.escape_ascii());
            assert!(header[..2] != *b"ff" && header.iter().take(55).all(u8::is_ascii));
        }
        let _ = String::from_utf8_lossy(&header).parse::<TraceParent>();
    }
    assert!(read > 0 && read < 5_000, "{read}");
}

#[test]
fn random_ids_come_back_as_they_were() {
    let r = &mut SplitMix64(2);
    for _ in 0..10_000 {
        let trace = u128::from(r.next() >> r.below(64)) << r.below(65) | 1;
        let made = TraceParent::new(trace, r.next() >> r.below(64) | 1, r.below(2) == 0).unwrap();
        assert_eq!(made.to_string().len(), 55);
        assert_eq!(made.to_string().parse(), Ok(made));
    }
}

#[test]
fn children_differ_in_their_parent_id_alone() {
    let parent: TraceParent = GOOD.parse().unwrap();
    let ids: HashSet<u64> = (0..10_000).map(|_| parent.child().parent_id()).collect();
    assert_eq!(ids.len(), 10_000);
    assert!(!ids.contains(&parent.parent_id()));
    let child = parent.child();
    assert_eq!((child.trace_id(), child.is_sampled()), (parent.trace_id(), true));
    let roots: HashSet<u128> = (0..10_000).map(|_| TraceParent::root(false).trace_id()).collect();
    assert_eq!(roots.len(), 10_000);
    assert!(TraceParent::root(true).is_sampled() && !TraceParent::root(false).is_sampled());
}
