//! Dead letters: as the message was, with a bounded account; and small enough for a sink that refuses them as they were.

use crate::input::Input;
use fanpool::connect::Message;
use fanpool::connect::fuzzing::letters;

/// The headers that a letter is given, and the most bytes of each.
const OWN: [(&str, usize); 7] = [
    ("fanpool-reason", 32),
    ("fanpool-error", 1_024),
    ("fanpool-attempts", 10),
    ("fanpool-history", 16 * 273 + 1_024),
    ("fanpool-deliveries", 10),
    ("fanpool-position", 64),
    ("fanpool-truncated", 20),
];

/// What a sink may be expected to take, whatever came.
const SMALL: usize = 16 * 1_024;

fn size(message: &Message) -> usize {
    let headers: usize = message.headers().map(|(name, value)| name.len() + value.len()).sum();
    message.payload().len() + message.key().map_or(0, <[u8]>::len) + headers
}

pub(crate) fn letters(data: &[u8]) {
    let mut input = Input::new(data);
    let mut message = input.message();
    // Now and then something is huge.
    let times = [1, 1, 100][input.below(3)];
    match input.below(4) {
        0 => message = message.clone().with_key(message.payload().repeat(times)),
        1 => {
            let name = format!("fanpool-{}", "x".repeat(times * 100));
            message = message.with_header(name, vec![b'y'; times * 100]);
        }
        2 => message = (0..times * 3).fold(message, |message, at| message.with_header(format!("fanpool-{at}"), "z")),
        _ => {}
    }
    let errors: Vec<String> = (0..input.below(20)).map(|_| input.text().repeat([1, 20][input.below(2)])).collect();
    let (whole, small) = letters::letters(&message, &errors);

    assert_eq!((whole.payload(), whole.key()), (message.payload(), message.key()));
    let is_own = |name: &str| OWN.iter().any(|(own, _)| *own == name);
    let foreign = |message: &Message| -> Vec<(String, Vec<u8>)> {
        let kept = message.headers().filter(|(name, _)| !is_own(name));
        kept.map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    };
    assert_eq!(foreign(&whole), foreign(&message));
    for (name, most) in OWN.iter().take(6) {
        let value = std::str::from_utf8(whole.header(name).unwrap()).unwrap();
        assert!(value.len() <= *most, "{name} has {} bytes", value.len());
    }
    let (history, attempts) = (whole.header("fanpool-history").unwrap(), errors.len().to_string());
    assert_eq!(whole.header("fanpool-attempts"), Some(attempts.as_bytes()));
    assert!(history.split(|byte| *byte == b'\n').count() <= 16 && !history.contains(&b'\r'));

    assert!(size(&small) <= SMALL, "{small:?} has {} bytes", size(&small));
    assert!(message.payload().starts_with(small.payload()));
    assert_eq!(small.payload().len(), message.payload().len().min(4_096));
    assert!(small.key().is_none_or(|key| Some(key) == message.key()));
    assert!(small.key().is_some() || message.key().is_none_or(|key| key.len() > 1_024));
    let length = message.payload().len().to_string();
    assert_eq!(small.header("fanpool-truncated"), Some(length.as_bytes()));
    for (name, value) in small.headers() {
        assert!(is_own(name) || name == "traceparent", "{name}");
        assert!(name == "traceparent" || std::str::from_utf8(value).is_ok(), "{name} is cut within a character");
    }
    // A letter that is buried again is none the larger.
    let (again, _) = letters::letters(&whole, &errors);
    let own = |message: &Message| message.headers().filter(|(name, _)| is_own(name)).count();
    assert_eq!(own(&again), own(&whole));
}
