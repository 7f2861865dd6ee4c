//! Takes values out of bytes. What is asked for beyond their end is zero or empty.

use fanpool::connect::Message;

pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Input<'a> {
        Input(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Up to 255 bytes, behind a byte that says how many.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// A message with headers, some of names that mean something, some large.
    pub(crate) fn message(&mut self) -> Message {
        const NAMES: [&str; 12] = [
            "payload",
            "key",
            "header:",
            "header:key",
            "CC",
            "BCC",
            "fanpool-key",
            "x-delivery-count",
            "traceparent",
            "fanpool-history",
            "fanpool-truncated",
            "fanpool-",
        ];
        let mut message = Message::new(self.bytes());
        if self.flag() {
            message = message.with_key(self.bytes());
        }
        for _ in 0..self.below(6) {
            let name = match self.below(3) {
                0 => NAMES[self.below(NAMES.len())].to_owned(),
                1 => format!("fanpool-{}", self.text()),
                _ => self.text(),
            };
            let times = [1, 1, 1, 40][self.below(4)];
            message = message.with_header(name, self.bytes().repeat(times));
        }
        message
    }
}
