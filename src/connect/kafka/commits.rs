//! The committer: a thread that commits and waits for the answer, so that nobody else waits for a broker without a limit.
//!
//! What is wanted of it stands on a desk under one lock: that something was acknowledged, that it is urgent, offsets of partitions that are
//! being taken away, and tickets of those who wait. It commits once the interval since the last commit is over, or at once if it is urgent
//! or somebody waits. What is on the desk when it begins is in that commit; what comes meanwhile is in the next.

use super::causes::{Cause, cause, code};
use super::member::{Consumer, Member};
use crate::connect::tracker::Commit;
use crate::sync::{Arc, Condvar, Mutex, now, thread};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// After a commit that failed, at least and at most.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Commits {
    desk: Mutex<Desk>,
    changed: Condvar,
    interval: Duration,
}

#[derive(Default)]
struct Desk {
    acknowledged: bool,
    urgent: bool,
    /// The last offsets of partitions that are being taken away.
    last: Vec<Commit>,
    /// Tickets: the newest, and the newest that was served.
    asked: u64,
    served: u64,
    /// What the last commit failed with.
    failure: Option<KafkaError>,
    /// The newest ticket of a commit that failed.
    failed: u64,
    stop: bool,
    ended: bool,
}

impl Desk {
    /// A commit is made that serves tickets up to this one.
    fn made(&mut self, ticket: u64, result: Result<(), KafkaError>) {
        self.served = ticket;
        self.failure = result.err();
        if self.failure.is_some() {
            self.acknowledged = true;
            self.failed = ticket;
        }
    }

    /// Whether it was served, and not by a commit that failed: later ones may have succeeded before its holder looks.
    fn is_settled(&self, ticket: u64) -> bool {
        self.served >= ticket && self.failed < ticket
    }
}

impl Commits {
    pub(super) fn new(interval: Duration) -> Commits {
        Commits { desk: Mutex::default(), changed: Condvar::new(), interval }
    }

    /// Something was acknowledged.
    pub(super) fn acknowledged(&self, urgent: bool) {
        let mut desk = self.desk.lock();
        let news = !desk.acknowledged || (urgent && !desk.urgent);
        desk.acknowledged = true;
        desk.urgent |= urgent;
        drop(desk);
        if news {
            self.changed.notify_all();
        }
    }

    /// Commits these, and all that is contiguous; waits for that as long. False if it failed or was not in time.
    pub(super) fn flush(&self, last: Vec<Commit>, deadline: Option<Instant>) -> bool {
        let mut desk = self.desk.lock();
        if desk.stop {
            return last.is_empty();
        }
        desk.last.extend(last);
        desk.asked += 1;
        let ticket = desk.asked;
        self.changed.notify_all();
        while desk.served < ticket && !desk.ended {
            if self.changed.wait_until(&mut desk, deadline) && desk.served < ticket {
                return false;
            }
        }
        desk.is_settled(ticket)
    }

    /// Commits these, and all that is contiguous, again and again until it succeeds: while a group is put together anew, a broker may refuse it
    /// for a while. False if it is refused for good, the time is over or the committer has ended; with something last also if the group waits for
    /// this member, which cannot join before this returns, or takes it for gone.
    pub(super) fn settle(&self, last: &[Commit], deadline: Option<Instant>) -> bool {
        loop {
            if self.flush(last.to_vec(), deadline) {
                return true;
            }
            // Who waits keeps this member from being let in again, and the next rebalance from its end.
            let is_out = !last.is_empty() && self.failure().is_some_and(is_out);
            let has_ended = {
                let desk = self.desk.lock();
                desk.stop || desk.ended
            };
            if is_out || has_ended || self.refused().is_some() || deadline.is_some_and(|deadline| now() >= deadline) {
                return false;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Ends the thread once all tickets are served; waits for that as long. False if it is still at work.
    pub(super) fn stop(&self, deadline: Option<Instant>) -> bool {
        let mut desk = self.desk.lock();
        desk.stop = true;
        self.changed.notify_all();
        while !desk.ended {
            if self.changed.wait_until(&mut desk, deadline) {
                return desk.ended;
            }
        }
        true
    }

    /// What the last commit was refused for, if waiting does not help.
    pub(super) fn refused(&self) -> Option<RDKafkaErrorCode> {
        self.failure().filter(|code| matches!(cause(*code), Cause::Refused(_)))
    }

    fn failure(&self) -> Option<RDKafkaErrorCode> {
        self.desk.lock().failure.as_ref().map(code)
    }

    /// Waits until there is something to commit: what is on the desk, and the ticket that it serves. `None` at the end.
    fn next(&self, due: Option<Instant>) -> Option<(Vec<Commit>, u64)> {
        let mut desk = self.desk.lock();
        loop {
            if desk.asked > desk.served || !desk.last.is_empty() || (desk.acknowledged && desk.urgent) {
                break;
            }
            if desk.stop {
                return None;
            }
            if desk.acknowledged && due.is_some_and(|due| now() >= due) {
                break;
            }
            let due = due.filter(|_| desk.acknowledged);
            self.changed.wait_until(&mut desk, due);
        }
        (desk.acknowledged, desk.urgent) = (false, false);
        Some((std::mem::take(&mut desk.last), desk.asked))
    }
}

/// Starts the thread. It holds the consumer until it is stopped.
pub(super) fn start(member: &Arc<Member>, consumer: &Arc<Consumer>) -> std::io::Result<thread::JoinHandle> {
    let (member, consumer) = (member.clone(), consumer.clone());
    thread::start("fanpool-kafka-commits".to_owned(), None, move || {
        let ended = Ended(member);
        run(&ended.0, &consumer);
        drop(consumer);
    })
}

/// Whatever ends the thread, those who wait for it are told.
struct Ended(Arc<Member>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.commits.desk.lock().ended = true;
        self.0.commits.changed.notify_all();
    }
}

fn run(member: &Member, consumer: &Consumer) {
    let commits = &member.commits;
    let mut due = Some(now());
    while let Some((mut batch, ticket)) = commits.next(due) {
        let partitions = member.tracker.partitions().into_iter();
        batch.extend(partitions.filter_map(|partition| member.tracker.committable(partition)));
        newest(&mut batch);
        let result = if batch.is_empty() { Ok(()) } else { commit(member, consumer, &batch) };
        if result.is_ok() {
            batch.iter().for_each(|done| member.tracker.committed(done.partition, done.session, done.next));
            member.bell.ring();
        }
        let failed = result.is_err();
        due = now().checked_add(if failed { commits.interval.clamp(PAUSE, LONGEST_PAUSE) } else { commits.interval });
        commits.desk.lock().made(ticket, result);
        commits.changed.notify_all();
    }
}

/// Whether the group takes this member for gone, or waits for it to join again.
fn is_out(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{FencedInstanceId, IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    matches!(code, UnknownMemberId | IllegalGeneration | FencedInstanceId | RebalanceInProgress)
}

/// Of each partition the commit of its newest session: one that was taken away may have come back before it was committed last.
fn newest(batch: &mut Vec<Commit>) {
    batch.sort_unstable_by_key(|commit| (commit.partition, std::cmp::Reverse(commit.session)));
    batch.dedup_by_key(|commit| commit.partition);
}

fn commit(member: &Member, consumer: &Consumer, batch: &[Commit]) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(batch.len());
    for commit in batch {
        if let Some((topic, partition)) = member.table.name(commit.partition) {
            let next = i64::try_from(commit.next).unwrap_or(i64::MAX);
            list.add_partition_offset(&topic, partition, Offset::Offset(next))?;
        }
    }
    consumer.commit(&list, CommitMode::Sync)
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
