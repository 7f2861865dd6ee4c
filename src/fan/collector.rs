//! A thread of its own that takes the outcomes of a service and pushes them on.
//!
//! The thread owns the [`Output`], so whatever ends it (no more outcomes, a sink that panics, a receiver that is gone, a
//! collector that is dropped) drops the output and with it stops the service; its workers are joined before the thread
//! ends. It waits in three places: for outcomes, which a stopped service ends; for room in a channel, beside a
//! second channel that the [`Collector`] disconnects; and in the user's sink.

use super::control::Control;
use super::landing::ServiceCounts;
use super::outcome::Outcome;
use super::output::Output;
use crate::error::{BuildError, TaskPanicked};
use crate::panics::{self, Payload};
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Mutex, thread};
use std::fmt;

/// The thread that takes a service's outcomes; made by [`Output::for_each`] and its relatives.
///
/// Dropping it stops the service and joins the thread. What was not started is cancelled, and the sink of [`for_each`](Output::for_each) still gets
/// those outcomes. (Dropped by the sink or by a handler it cannot wait; the thread ends by itself.)
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// let total = Arc::new(AtomicU64::new(0));
/// let sum = total.clone();
/// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n * n)).start()?;
/// let collector = output.for_each(move |outcome| {
///     sum.fetch_add(outcome.result.unwrap_or(0), Ordering::Relaxed);
/// })?;
/// (1..=3).for_each(|n| drop(input.send(n)));
/// drop(input);
/// assert_eq!(collector.join()?.finished, 3);
/// assert_eq!(total.load(Ordering::Relaxed), 14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the collector stops the service"]
pub struct Collector {
    control: Control<'static>,
    thread: Option<thread::JoinHandle>,
    panic: Arc<Mutex<Option<Payload>>>,
    /// Disconnected to end a wait for room.
    cut: Option<Sender<()>>,
    /// The stages before, whose threads the end of this one's waits for.
    before: Vec<(thread::ThreadId, Control<'static>)>,
}

impl Collector {
    /// Starts the thread. What `body` holds is dropped once its panic can be had, so that whoever sees it gone finds that.
    pub(super) fn start<R, E>(
        mut output: Output<'static, R, E>,
        mut body: impl FnMut(&mut Output<'static, R, E>, &Receiver<()>) + Send + 'static,
    ) -> Result<Collector, BuildError>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        let control = output.control();
        let before = output.stages_before();
        let (cut, cuts) = channel::bounded(1);
        let panic = Arc::new(Mutex::new(None));
        let kept = panic.clone();
        let run = move || {
            if let Err(payload) = panics::catch(|| body(&mut output, &cuts)) {
                *kept.lock() = Some(payload);
            }
            panics::drop_each([body]);
            drop(output);
        };
        match thread::start(format!("{}-collector", control.name()), None, run) {
            Ok(thread) => Ok(Collector { control, thread: Some(thread), panic, cut: Some(cut), before }),
            Err(source) => Err(BuildError::Thread { wanted: 1, started: 0, source }),
        }
    }

    /// Waits until the service has ended and all its outcomes were pushed on. Close it first: through its inputs, or with
    /// [`Control::drain`].
    ///
    /// # Errors
    ///
    /// If the sink panicked: then the service was stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let collector = output.for_each(|outcome| drop(outcome))?;
    /// collector.control().drain();
    /// assert_eq!(collector.join()?.accepted, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(mut self) -> Result<ServiceCounts, TaskPanicked> {
        self.wait();
        match self.take_panic() {
            Some(panicked) => Err(panicked),
            None => Ok(self.control.counts()),
        }
    }

    pub(super) fn take_panic(&self) -> Option<TaskPanicked> {
        self.panic.lock().take().map(TaskPanicked::new)
    }

    /// What steers the service.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let collector = output.for_each(|outcome| drop(outcome))?;
    /// assert_eq!(collector.control().depth(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control<'static> {
        self.control.clone()
    }

    /// The threads and services that end before this one's thread does.
    pub(super) fn stages(&self) -> Vec<(thread::ThreadId, Control<'static>)> {
        let own = self.thread.as_ref().map(|thread| (thread.id(), self.control.clone()));
        self.before.iter().cloned().chain(own).collect()
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            let me = thread::id();
            let before = self.before.iter().any(|(stage, control)| *stage == me || control.is_inside());
            if thread.id() != me && !self.control.is_inside() && !before {
                thread.join();
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.cut = None;
            self.control.stop();
            self.wait();
        }
        let payload = self.panic.lock().take();
        payload.into_iter().for_each(panics::discard);
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("control", &self.control).finish_non_exhaustive()
    }
}

impl<R, E> Output<'static, R, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    /// Has a thread of its own, `<name>-collector`, call `sink` with each outcome.
    ///
    /// A panic of `sink` stops the service; [`Collector::join`] returns it.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread; the service is stopped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
    /// let mut last = 0;
    /// let collector = output.for_each(move |outcome| last = outcome.seq)?;
    /// drop(input);
    /// collector.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each(self, mut sink: impl FnMut(Outcome<R, E>) + Send + 'static) -> Result<Collector, BuildError> {
        Collector::start(self, move |output, _| output.for_each(&mut sink))
    }

    /// Has a thread of its own, `<name>-collector`, send each outcome to a channel. When that is full the thread waits, and with it,
    /// once the window is full, the senders. When its receivers are gone the service is stopped.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread; the service is stopped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = crossbeam_channel::bounded(16);
    /// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n + 1)).start()?;
    /// let collector = output.forward(sender)?;
    /// input.send(1)?;
    /// drop(input);
    /// assert_eq!(receiver.iter().map(|outcome| outcome.result.unwrap()).sum::<u64>(), 2);
    /// collector.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forward(self, sender: Sender<Outcome<R, E>>) -> Result<Collector, BuildError> {
        Collector::start(self, move |output, cut| {
            while let Some(outcome) = output.next() {
                if let Err(outcome) = channel::send_unless(&sender, outcome, cut) {
                    output.undelivered(outcome);
                    return;
                }
            }
        })
    }
}
