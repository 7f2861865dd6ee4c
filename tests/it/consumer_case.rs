//! Random consumers, of which nothing is random but their seed, and what must be true of all.

use crate::hooked::{Call, Hook, HookedSink, HookedSource, Step, hook, lost, refused, refused_message};
use crate::quiet_panic;
use fanpool::connect::{CodecError, Delivery, Encode, Memory, Message, Position, Receipt};
use fanpool::{Clock, FanOut, OnError, Retry};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Numbers that follow from a seed, also if several threads draw.
#[derive(Debug)]
struct Chance(u64, AtomicU64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance(mix(seed), AtomicU64::new(0))
    }

    fn below(&self, n: u64) -> u64 {
        mix(self.0 ^ mix(self.1.fetch_add(1, Ordering::Relaxed))) % n
    }

    /// Once in so many; 0 is never.
    fn once_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Shutdown(u64),
    /// In a seeded run alone, since it takes 10 seconds.
    Dropped,
    Stopped,
    Drained,
    Closed,
    /// Set down and up again, then the source's end.
    Flaps,
    DownForGood,
    Paused,
}

/// One in how many calls fails how. 0 is never.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    lost: u64,
    /// Though it was done.
    after: u64,
    panics: u64,
    refuses: u64,
    message: u64,
    odd_index: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    seed: u64,
    seeded: bool,
    messages: u64,
    window: usize,
    workers: usize,
    ordered: bool,
    keyed: bool,
    retries: bool,
    hedges: bool,
    deadline: bool,
    batch: Option<usize>,
    fail_fast: bool,
    publishes: bool,
    discards: bool,
    deliveries: u32,
    /// One message in how many is not decoded, fails, panics, is not encoded.
    bad: [u64; 4],
    reader: Faults,
    settler: Faults,
    sink: Faults,
    letters: Faults,
    end: End,
    /// How many are delivered before the end comes.
    after: u64,
}

impl Case {
    pub(crate) fn random(seed: u64, seeded: bool) -> Case {
        let r = &Chance::new(seed);
        let pick = |of: &[u64]| of[r.below(of.len() as u64) as usize];
        let faults = || match r.below(3) {
            0 => Faults::default(),
            _ => Faults {
                lost: pick(&[0, 2, 5, 20]),
                after: pick(&[0, 0, 3, 10]),
                panics: pick(&[0, 0, 0, 15]),
                refuses: pick(&[0, 0, 0, 15]),
                message: pick(&[0, 2, 7]),
                odd_index: pick(&[0, 0, 0, 20]),
            },
        };
        let batch = (r.below(4) == 0).then(|| 1 + r.below(3) as usize);
        let messages = pick(&[0, 1, 12, 60]);
        let ends = [
            End::Source,
            End::Source,
            End::Shutdown(pick(&[0, 5, 3_600_000])),
            if seeded { End::Dropped } else { End::Shutdown(0) },
            End::Stopped,
            End::Drained,
            End::Closed,
            End::Flaps,
            End::DownForGood,
            End::Paused,
        ];
        Case {
            seed,
            seeded,
            messages,
            window: batch.unwrap_or(1) + pick(&[0, 1, 2, 7, 100]) as usize,
            workers: 1 + r.below(3) as usize,
            ordered: r.below(3) == 0,
            keyed: r.below(3) == 0,
            retries: batch.is_none() && r.below(2) == 0,
            hedges: batch.is_none() && r.below(5) == 0,
            deadline: batch.is_none() && r.below(6) == 0,
            batch,
            fail_fast: r.below(8) == 0,
            publishes: r.below(4) > 0,
            discards: r.below(4) == 0,
            deliveries: pick(&[1, 2, u32::MAX.into()]) as u32,
            bad: [pick(&[0, 3, 10]), pick(&[0, 3, 10]), pick(&[0, 10]), pick(&[0, 10])],
            reader: faults(),
            settler: faults(),
            sink: faults(),
            letters: faults(),
            end: ends[r.below(ends.len() as u64) as usize],
            after: r.below(messages + 1),
        }
    }

    /// Whether a message is bad in the way of that index.
    fn is_bad(&self, way: usize, text: &str) -> bool {
        let number: u64 = text.parse().unwrap();
        self.bad[way] > 0 && mix(self.seed ^ mix(number * 4 + way as u64)) % self.bad[way] == 0
    }

    fn decode(&self, message: &Message) -> Result<String, CodecError> {
        let text = std::str::from_utf8(message.payload()).unwrap().to_owned();
        if self.is_bad(0, &text) {
            if text.ends_with('1') {
                quiet_panic("decoder");
            }
            return Err(CodecError::new("undecodable"));
        }
        Ok(text)
    }

    fn handle(&self, text: String) -> Result<String, String> {
        yield_now();
        if self.is_bad(2, &text) {
            quiet_panic("handler");
        }
        if self.is_bad(1, &text) { Err(text) } else { Ok(text) }
    }

    /// What an engine does, if it has such faults and so many messages.
    fn step(&self, chance: &Chance, faults: Faults, messages: Option<usize>) -> Step {
        yield_now();
        let Faults { lost: loses, after, panics, refuses, message, odd_index } = faults;
        match () {
            () if chance.once_in(panics) => quiet_panic("engine"),
            () if chance.once_in(loses) => Step::Fail(lost()),
            () if chance.once_in(after) => Step::After(lost()),
            () if chance.once_in(refuses) => Step::Fail(refused()),
            () => match messages {
                Some(messages) if chance.once_in(message) => {
                    Step::Fail(refused_message(chance.below(messages as u64) as usize))
                }
                Some(messages) if chance.once_in(odd_index) => Step::Fail(refused_message(messages)),
                _ => Step::Go,
            },
        }
    }
}

fn yield_now() {
    #[cfg(feature = "seeded")]
    fanpool::testing::yield_now();
}

/// Encodes one text or two of it.
struct Texts(Arc<Case>);

impl Encode<String> for Texts {
    fn encode(&self, text: String, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(Message::new(&text));
        if self.0.is_bad(3, &text) {
            if text.ends_with('2') {
                quiet_panic("encoder");
            }
            return Err(CodecError::new("unencodable"));
        }
        if text.ends_with('0') {
            into.push(Message::new(&text));
        }
        Ok(())
    }
}

/// What is found wrong meanwhile, and what was taken.
#[derive(Default)]
struct Log {
    wrong: Mutex<Vec<String>>,
    taken: Mutex<HashMap<Position, String>>,
}

fn set(broker: &Memory, queue: &str) -> BTreeSet<String> {
    let text = |message: &Message| String::from_utf8(message.payload().to_vec()).unwrap();
    broker.messages(queue).iter().map(text).collect()
}

fn source_hook(case: &Arc<Case>, broker: &Memory, log: &Arc<Log>) -> Hook {
    let (case, broker, log) = (case.clone(), broker.clone(), log.clone());
    let (reads, settles) = (Chance::new(case.seed ^ 1), Chance::new(case.seed ^ 2));
    let wrong = move |log: &Log, what: String| log.wrong.lock().unwrap().push(what);
    hook(move |call| match call {
        Call::Poll(_) => case.step(&reads, case.reader, None),
        Call::Took(deliveries) => {
            let text = |message: &Message| String::from_utf8(message.payload().to_vec()).unwrap();
            let taken = deliveries.iter().map(|delivery| (delivery.position, text(&delivery.message)));
            log.taken.lock().unwrap().extend(taken);
            let held = broker.in_hand("in");
            if held > case.window {
                wrong(&log, format!("{held} in hand"));
            }
            Step::Go
        }
        Call::Lag if reads.once_in(4 * case.reader.panics) => quiet_panic("lag"),
        Call::Ack(positions) => {
            if !case.discards {
                let texts: Vec<String> = {
                    let taken = log.taken.lock().unwrap();
                    positions.iter().map(|position| taken[position].clone()).collect()
                };
                let (out, failed) = (set(&broker, "out"), set(&broker, "failed"));
                for text in texts {
                    if case.publishes && !out.contains(&text) && !failed.contains(&text) {
                        wrong(&log, format!("{text} is acknowledged, and its outcome nowhere"));
                    }
                }
            }
            case.step(&settles, case.settler, None)
        }
        Call::Nack | Call::CloseSettler => case.step(&settles, case.settler, None),
        Call::CloseReader => case.step(&reads, case.reader, None),
        _ => Step::Go,
    })
}

fn sink_hook(case: &Arc<Case>, faults: Faults, salt: u64) -> Hook {
    let case = case.clone();
    let chance = Chance::new(case.seed ^ salt);
    hook(move |call| match call {
        Call::Publish(messages) => case.step(&chance, faults, Some(messages.len())),
        Call::CloseSink => case.step(&chance, faults, None),
        _ => Step::Go,
    })
}

/// Runs it to its end; the receipt, if it makes one.
fn run(case: &Arc<Case>, broker: &Memory, log: &Arc<Log>) -> Option<Receipt> {
    let source = HookedSource(broker.source("in"), source_hook(case, broker, log));
    let sink = HookedSink(broker.sink("out"), sink_hook(case, case.sink, 3));
    let letters = HookedSink(broker.sink("failed"), sink_hook(case, case.letters, 4));
    let (handles, decodes) = (case.clone(), case.clone());
    let decode = move |delivery: &Delivery| decodes.decode(&delivery.message);
    macro_rules! start {
        ($service:expr) => {{
            let mut service = $service.window(case.window).workers(case.workers);
            if case.ordered {
                service = service.ordered();
            }
            if case.keyed {
                service = service.key(|text: &String| text.len());
            }
            if case.fail_fast {
                service = service.on_error(OnError::FailFast);
            }
            let mut consumer = service.consume(source, decode).reconnect(SOON, 3 * SOON);
            if case.publishes {
                consumer = consumer.publish(sink, Texts(case.clone()));
            }
            consumer = if case.discards { consumer.discard_failed() } else { consumer.dead_letter(letters) };
            consumer.max_deliveries(case.deliveries).start().unwrap()
        }};
    }
    let consumer = match case.batch {
        Some(most) => {
            let handle = move |texts: Vec<String>| texts.into_iter().map(|text| handles.handle(text)).collect();
            start!(FanOut::builder_batch(most, SOON, handle))
        }
        None => {
            let mut service = FanOut::builder(move |text: String| handles.handle(text));
            if case.retries {
                service = service.retry(Retry::fixed(Duration::ZERO).max_attempts(3));
            }
            if case.hedges {
                service = service.hedge_after(Duration::from_micros(50));
            }
            if case.deadline {
                service = service.deadline(SOON);
            }
            start!(service)
        }
    };
    let patience = 200;
    for _ in 0..patience {
        if consumer.counts().delivered >= case.after {
            break;
        }
        Clock::system().sleep(SOON / 4);
    }
    Some(match case.end {
        End::Source => consumer.join(),
        End::Shutdown(millis) => consumer.shutdown(Duration::from_millis(millis)),
        End::Dropped => {
            drop(consumer);
            return None;
        }
        End::Stopped => {
            consumer.control().stop();
            consumer.join()
        }
        End::Drained => {
            consumer.control().drain();
            consumer.join()
        }
        End::Closed => {
            consumer.close();
            consumer.join()
        }
        End::Flaps => {
            for _ in 0..3 {
                broker.set_down(true);
                Clock::system().sleep(SOON);
                broker.set_down(false);
                Clock::system().sleep(SOON);
            }
            consumer.join()
        }
        End::DownForGood => {
            broker.set_down(true);
            if case.seeded {
                drop(consumer);
                return None;
            }
            consumer.shutdown(5 * SOON)
        }
        End::Paused => {
            consumer.control().pause();
            consumer.shutdown(5 * SOON)
        }
    })
}

pub(crate) fn check(case: Case) -> Result<(), String> {
    let case = Arc::new(case);
    let (broker, log) = (Memory::new(), Arc::<Log>::default());
    (0..case.messages).for_each(|n| broker.send("in", Message::new(n.to_string())));
    broker.end("in");
    let receipt = run(&case, &broker, &log);
    broker.set_down(false);
    let wrong = std::mem::take(&mut *log.wrong.lock().unwrap());
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if broker.in_hand("in") > 0 {
        return Err(format!("{} are still in hand", broker.in_hand("in")));
    }
    let (left, out, failed) = (set(&broker, "in"), set(&broker, "out"), set(&broker, "failed"));
    if case.publishes && !case.discards {
        for n in (0..case.messages).map(|n| n.to_string()) {
            if [&left, &out, &failed].iter().all(|queue| !queue.contains(&n)) {
                return Err(format!("{n} is lost"));
            }
        }
    }
    let Some(receipt) = receipt else { return Ok(()) };
    let counts = receipt.counts;
    let settled = counts.acknowledged + counts.handed_back + counts.late + counts.unsettled;
    if (counts.delivered, counts.in_hand) != (settled, 0) {
        return Err(format!("{counts:?}"));
    }
    if receipt.service.accepted > counts.delivered {
        return Err(format!("{:?} of {counts:?}", receipt.service));
    }
    let may_fail = [case.reader, case.settler, case.sink, case.letters];
    let may_fail = may_fail.iter().any(|it| it.panics + it.refuses + it.message + it.odd_index > 0);
    if receipt.error.is_some() && !may_fail {
        return Err(format!("ended by itself: {receipt}"));
    }
    if case.sink.after + case.sink.odd_index == 0 && broker.messages("out").len() as u64 != counts.published {
        return Err(format!("{} results were sent: {counts:?}", broker.messages("out").len()));
    }
    if case.letters.after + case.letters.odd_index == 0
        && broker.messages("failed").len() as u64 != counts.dead_lettered
    {
        return Err(format!("{} letters were sent: {counts:?}", broker.messages("failed").len()));
    }
    if matches!(case.end, End::Source | End::Flaps) && receipt.error.is_none() && !case.fail_fast && !left.is_empty() {
        return Err(format!("{left:?} are left: {receipt}"));
    }
    Ok(())
}
