//! What a consumer of messages counts.

/// What became of the messages of a broker that a consumer takes, so far. Counts never fall; `in_hand` and `lag` are those of the moment.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
/// use fanpool::connect::{Memory, Message, Utf8};
///
/// let broker = Memory::new();
/// broker.send("numbers", Message::new("17"));
/// broker.end("numbers");
/// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
///     .consume(broker.source("numbers"), Utf8)
///     .discard_failed()
///     .start()?;
/// let counts = consumer.join().counts;
/// assert_eq!((counts.delivered, counts.acknowledged, counts.in_hand), (1, 1, 0));
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BrokerCounts {
    /// Taken from the broker.
    pub delivered: u64,
    /// Those of them that had been delivered before, to anybody.
    pub redelivered: u64,
    /// Acknowledged, after whatever was to be sent was confirmed.
    pub acknowledged: u64,
    /// Given back to the broker, to be delivered again.
    pub handed_back: u64,
    /// Acknowledged or given back too late: the broker had taken them back, and delivers them to somebody again.
    pub late: u64,
    /// Neither acknowledged nor given back, because the broker could not be told; it delivers them again.
    pub unsettled: u64,
    /// Messages sent to the sink for results, and confirmed.
    pub published: u64,
    /// Messages sent to the sink for those that failed, and confirmed.
    pub dead_lettered: u64,
    /// Failed, and acknowledged without a dead letter, because that was chosen.
    pub discarded: u64,
    /// Connections, to sources and sinks, that were there again after they were lost.
    pub reconnects: u64,
    /// Delivered, and not settled yet.
    pub in_hand: usize,
    /// Messages that wait at the broker to be delivered to anybody, where it tells.
    pub lag: Option<u64>,
}

impl BrokerCounts {
    /// What became of those that were settled, by name.
    pub(super) fn outcomes(&self) -> [(&'static str, u64); 4] {
        [
            ("acknowledged", self.acknowledged),
            ("handed_back", self.handed_back),
            ("late", self.late),
            ("unsettled", self.unsettled),
        ]
    }
}
