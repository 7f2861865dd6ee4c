//! One stream of outcomes to several consumers.

use super::collector::Collector;
use super::control::Control;
use super::outcome::Outcome;
use super::output::Output;
use crate::error::{BuildError, RecvError, TaskPanicked};
use crate::panics;
use crate::sync::Arc;
use crate::sync::channel::{self, Receiver, Sender};
use std::fmt;
use std::iter::FusedIterator;

/// One of several consumers of a service; made by [`Output::tee`] and [`Output::split_by`].
///
/// The service is stopped when all branches of it were dropped. A branch that is not read holds up the others once its buffer
/// is full.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
/// let [mut even, mut odd] = output.split_by(16, |outcome| (outcome.seq % 2) as usize)?;
/// (0..4).for_each(|n| drop(input.send(n)));
/// drop(input);
/// assert_eq!(even.by_ref().count(), 2);
/// assert_eq!(odd.by_ref().count(), 2);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
pub struct Branch<T> {
    // Before the collector, which may wait for room here.
    items: Receiver<T>,
    collector: Arc<Collector>,
}

impl<T> Branch<T> {
    /// Takes the next, waiting for it.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] when there will be none.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let [branch] = output.split_by(1, |_| 0)?;
    /// input.send(5)?;
    /// assert_eq!(branch.recv()?.result.ok(), Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&self) -> Result<T, RecvError> {
        channel::recv(&self.items).map_err(|_| RecvError::Closed)
    }

    /// Takes the next, if it is there.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if it is not, [`RecvError::Closed`] if there will be none.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let [branch] = output.split_by(1, |_| 0)?;
    /// assert!(branch.try_recv().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&self) -> Result<T, RecvError> {
        channel::try_next(&self.items).map_err(|ended| if ended { RecvError::Closed } else { RecvError::Empty })
    }

    /// What steers the service.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let [branch] = output.split_by(1, |_| 0)?;
    /// branch.control().drain();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control<'static> {
        self.collector.control()
    }

    /// The panic of the function that was given to `split_by`, which stopped the service; whoever asks first gets it.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let [mut branch] = output.split_by(1, |_| panic!("no branch"))?;
    /// input.send(5)?;
    /// assert!(branch.next().is_none());
    /// assert_eq!(branch.take_panic().unwrap().message(), "no branch");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn take_panic(&self) -> Option<TaskPanicked> {
        self.collector.take_panic()
    }

    pub(super) fn items(&self) -> &Receiver<T> {
        &self.items
    }
}

impl<T> Iterator for Branch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T> FusedIterator for Branch<T> {}

impl<T> fmt::Debug for Branch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").field("control", &self.collector.control()).finish_non_exhaustive()
    }
}

impl<R, E> Output<'static, R, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    /// Hands every outcome to each of `N` branches, which share it. Each branch buffers up to `buffer` outcomes.
    ///
    /// A branch that was dropped is left out.
    ///
    /// # Errors
    ///
    /// If `buffer` is not 1 to 1,048,576, `N` is 0, or the operating system refuses the thread `<name>-collector`; the service is stopped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let [log, sum] = output.tee(16)?;
    /// (1..=3).for_each(|n| drop(input.send(n)));
    /// drop(input);
    /// assert_eq!(log.count(), 3);
    /// assert_eq!(sum.map(|outcome| *outcome.result.as_ref().unwrap()).sum::<u64>(), 6);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "spelt out for the reader of the documentation")]
    pub fn tee<const N: usize>(self, buffer: usize) -> Result<[Branch<Arc<Outcome<R, E>>>; N], BuildError>
    where
        R: Sync,
        E: Sync,
    {
        let (senders, receivers) = channels::<_, N>(buffer)?;
        let mut senders = senders.map(Some);
        let collector = Collector::start(self, move |output, cut| {
            while let Some(outcome) = output.next() {
                let outcome = Arc::new(outcome);
                for sender in &mut senders {
                    let sent = sender.as_ref().map(|sender| channel::send_unless(sender, outcome.clone(), cut));
                    if let Some(Err(_)) = sent {
                        *sender = None;
                    }
                }
                // All branches may have dropped theirs.
                panics::drop_each([outcome]);
                if senders.iter().all(Option::is_none) {
                    return output.lost_one();
                }
            }
        })?;
        Ok(branches(receivers, collector))
    }

    /// Hands each outcome to one of `N` branches: number `branch(&outcome) % N`. Each buffers up to `buffer` outcomes.
    ///
    /// Outcomes for a branch that was dropped are dropped, and counted as undelivered. A panic of `branch` stops the service.
    ///
    /// # Errors
    ///
    /// As [`tee`](Output::tee).
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: i32| if n < 0 { Err(n) } else { Ok(n) }).start()?;
    /// let [good, bad] = output.split_by(16, |outcome| usize::from(outcome.result.is_err()))?;
    /// [1, -1, 2].into_iter().for_each(|n| drop(input.send(n)));
    /// drop(input);
    /// assert_eq!((good.count(), bad.count()), (2, 1));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn split_by<const N: usize>(
        self,
        buffer: usize,
        mut branch: impl FnMut(&Outcome<R, E>) -> usize + Send + 'static,
    ) -> Result<[Branch<Outcome<R, E>>; N], BuildError> {
        let (senders, receivers) = channels::<_, N>(buffer)?;
        let mut senders = senders.map(Some);
        let collector = Collector::start(self, move |output, cut| {
            while let Some(outcome) = output.next() {
                let at = match panics::catch(|| branch(&outcome)) {
                    Ok(at) => at % N,
                    Err(payload) => {
                        output.undelivered(outcome);
                        panics::resume(payload);
                    }
                };
                let refused = match &senders[at] {
                    Some(sender) => channel::send_unless(sender, outcome, cut).err(),
                    None => Some(outcome),
                };
                if let Some(outcome) = refused {
                    output.undelivered(outcome);
                    senders[at] = None;
                    if senders.iter().all(Option::is_none) {
                        return;
                    }
                }
            }
        })?;
        Ok(branches(receivers, collector))
    }
}

type Channels<T, const N: usize> = ([Sender<T>; N], [Receiver<T>; N]);

fn channels<T, const N: usize>(buffer: usize) -> Result<Channels<T, N>, BuildError> {
    BuildError::check("branches", N, 1..=usize::MAX)?;
    // A bounded channel sets aside its buffer at once.
    BuildError::check("buffer", buffer, 1..=1 << 20)?;
    let mut receivers = Vec::with_capacity(N);
    let senders = std::array::from_fn(|_| {
        let (sender, receiver) = channel::bounded(buffer);
        receivers.push(receiver);
        sender
    });
    let mut receivers = receivers.into_iter();
    let receivers = std::array::from_fn(|_| match receivers.next() {
        Some(receiver) => receiver,
        None => unreachable!("there is one for each sender"),
    });
    Ok((senders, receivers))
}

fn branches<T, const N: usize>(receivers: [Receiver<T>; N], collector: Collector) -> [Branch<T>; N] {
    let collector = Arc::new(collector);
    receivers.map(|items| Branch { items, collector: collector.clone() })
}
